"""The proposals of automatic evidence: of each row a mixture of fitted Student t's, the guide and
the prior.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, LowRankMultivariateNormal, MultivariateNormal

from pyro_vae.analysis.marginal_likelihood.proposals import as_normal
from pyro_vae.analysis.marginal_likelihood.student_t import (
    DEGREES_OF_FREEDOM,
    RowNoise,
    RowStudentT,
)
from pyro_vae.guides.pushforward import Pushforward, standard_normal

GUIDE_SHARE, PRIOR_SHARE = 0.15, 0.05
"""Of the draws: the guide's show the ELBO, and the prior's show a fit that found the wrong place.
"""

GOLDEN = (math.sqrt(5) - 1) / 2
"""u, u + φ, u + 2 φ, ... mod 1 fills [0, 1) evenly, whatever the number of draws."""


class Drawn(NamedTuple):
    """Draws of a distribution (draws, rows, latent_dim) and their log densities (draws, rows)."""

    z: Tensor
    log_prob: Tensor


class Draws(NamedTuple):
    """Draws of some rows.

    Attributes:
        z: (draws, rows, latent_dim).
        log_prior: log p(z), (draws, rows).
        log_proposal: log of the mixture, (draws, rows), in float64.
        component: what each was drawn from: the number of a fit, then the guide, then the prior,
            (draws, rows).
        from_guide: which were drawn from q(z | x), (draws, rows).
        log_guide: log q(z | x), (draws, rows); empty where the guide has no share.
    """

    z: Tensor
    log_prior: Tensor
    log_proposal: Tensor
    component: Tensor
    from_guide: Tensor
    log_guide: Tensor


@dataclass(frozen=True)
class RowProposals:
    """r(z) = Σⱼ aⱼ tⱼ(z) + b q(z | x) + c p(z) of each row: no weight is above 1 / b times what the
    guide would give.

    The component of a draw is chosen by a systematic sample, u + k φ mod 1: each draw follows r, so
    that the mean weight is unbiased for any number of draws, and every component gets nearly its
    share.

    References:
        Safe and Effective Importance Sampling (Owen, Zhou, 2000).

    Attributes:
        fits: tⱼ.
        shares: aⱼ, ..., b, c of each row, (rows, len(fits) + 2); b is zero where the guide's
            density costs many passes.
        guide: q(z | x), of batch shape (rows,).
        prior: p(z).
        pool: draws from the prior under the seed of the whole job, (many, latent_dim), of which
            each row takes its own.
    """

    fits: Sequence[RowStudentT]
    shares: Tensor
    guide: Distribution
    prior: Distribution
    pool: Tensor

    @classmethod
    def of(
        cls,
        fits: Sequence[RowStudentT],
        weights: Tensor,
        guide: Distribution,
        prior: Distribution,
        pool: Tensor,
    ) -> "RowProposals":
        """The mixture whose fits share what guide and prior leave, by `weights` (rows, fits) that
        sum to one.
        """
        guide_share = GUIDE_SHARE if density_is_cheap(guide) else 0.0
        prior_share = PRIOR_SHARE
        if not fits:
            guide_share, prior_share = 1 - PRIOR_SHARE, PRIOR_SHARE
        left = 1 - guide_share - prior_share
        others = weights.new_tensor([guide_share, prior_share]).expand(len(weights), 2)
        return cls(fits, torch.cat([left * weights, others], 1).double(), guide, prior, pool)

    @property
    def mixes_guide(self) -> bool:
        """Whether the guide has a share."""
        return bool(self.shares[:, -2].any())

    @property
    def stddev(self) -> Tensor:
        """Of the fit with the largest share, (rows, latent_dim); of the guide where there is none."""
        if not self.fits:
            return self.guide.stddev
        largest = self.shares[:, : len(self.fits)].argmax(1)
        each = torch.stack([fit.stddev for fit in self.fits], 1)
        return each[torch.arange(len(each), device=each.device), largest]

    def draw(self, noise: RowNoise, guide_draws: Drawn | None) -> Draws:
        """The draws that `noise` makes, with their densities.

        Arguments:
            noise: of these rows.
            guide_draws: draws of the guide, as many, and their densities: a draw keeps the density
                of its own noise, since solving for it would multiply the rounding of z. None where
                the guide has no share.
        """
        component = self._component(noise.uniform)
        z = self.pool[noise.pool_index]
        for number, fit in enumerate(self.fits):
            z = torch.where((component == number).unsqueeze(-1), fit.draw(noise), z)
        from_guide = component == len(self.fits)
        if guide_draws is not None:
            z = torch.where(from_guide.unsqueeze(-1), guide_draws.z, z)
        log_prior, log_guide = self.prior.log_prob(z), self._log_guide(z)
        if guide_draws is not None:
            log_guide = torch.where(from_guide, guide_draws.log_prob, log_guide)
        densities = [fit.log_prob(z) for fit in self.fits]
        for number, fit in enumerate(self.fits):
            own = component == number
            densities[number] = torch.where(own, fit.log_prob_of_draw(noise), densities[number])
        log_proposal = self._mixed(densities, log_guide, log_prior)
        return Draws(z, log_prior, log_proposal, component, from_guide, log_guide)

    def log_prob(self, z: Tensor, /) -> Tensor:
        """log r(z) of any z (draws, rows, latent_dim), with gradients."""
        densities = [fit.log_prob(z) for fit in self.fits]
        return self._mixed(densities, self._log_guide(z), self.prior.log_prob(z)).to(z.dtype)

    def _log_guide(self, z: Tensor) -> Tensor:
        if not self.mixes_guide:
            return z.new_empty(0)
        return self.guide.log_prob(z)

    def _mixed(self, densities: list[Tensor], log_guide: Tensor, log_prior: Tensor) -> Tensor:
        if not log_guide.numel():
            log_guide = torch.full_like(log_prior, -torch.inf)
        each = torch.stack([*densities, log_guide.double(), log_prior.double()], -1)
        return (each + self.shares.log()).logsumexp(-1)

    def _component(self, uniform: Tensor) -> Tensor:
        """The number of each draw's component, (draws, rows)."""
        edges = self.shares.cumsum(1)[:, :-1]
        return (uniform.double().unsqueeze(-1) >= edges).sum(-1)


def density_is_cheap(guide: Distribution) -> bool:
    """Whether log q(z | x) of any z takes a pass or two: an inverse autoregressive flow takes one a
    dimension.
    """
    return not isinstance(guide, Pushforward) or guide.passes <= 2


def drawn_from(guide: Any, noise: Tensor) -> Drawn | None:
    """Draws of a guide that is made from standard normal noise (draws, rows, latent_dim); None for
    another guide.
    """
    normal = as_normal(guide)
    if normal is not None:
        log_det = normal.scale.log().sum(-1)
        return Drawn(normal.loc + normal.scale * noise, standard_normal(noise) - log_det)
    if isinstance(guide, MultivariateNormal | LowRankMultivariateNormal):
        tril = guide.scale_tril
        log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        z = guide.loc + (tril @ noise.unsqueeze(-1)).squeeze(-1)
        return Drawn(z, standard_normal(noise) - log_det)
    if isinstance(guide, Pushforward):
        z, log_det = guide.push(noise)
        return Drawn(z, standard_normal(noise) - log_det)
    return None


class NoiseMaker:
    """Noise of each row under its own seed, in blocks that are always drawn whole, so that no chunk
    size changes them.

    Arguments:
        block: draws that share one seed.
        restart: starts torch's generators from a seed.
        like: for type and device of the noise; (..., latent_dim).
        pool_size: of the pool that `pool_index` points into.
    """

    def __init__(
        self, block: int, restart: Callable[[int], None], like: Tensor, pool_size: int
    ) -> None:
        self.block, self.restart, self.like, self.pool_size = block, restart, like, pool_size

    def draw(self, seeds: Sequence[int], first: int, last: int) -> RowNoise:
        """The noise of draws `first` to `last` of the rows with these seeds."""
        numbers = range(first // self.block, (last - 1) // self.block + 1)
        rows = [self._row(seed, numbers) for seed in seeds]
        start = numbers[0] * self.block
        wanted = slice(first - start, last - start)
        normal, mixing, uniform, index = (
            torch.stack(parts, 1)[wanted] for parts in zip(*rows, strict=True)
        )
        return RowNoise(normal, mixing, uniform, index)

    def _row(self, seed: int, numbers: range) -> RowNoise:
        blocks = [self._one(seed, number) for number in numbers]
        normal, mixing, uniform, index = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        return RowNoise(normal, mixing, uniform, index)

    def _one(self, seed: int, number: int) -> RowNoise:
        self.restart(seed + number)
        normal = self.like.new_empty(self.block, self.like.shape[-1]).normal_()
        half = self.like.new_full((self.block,), DEGREES_OF_FREEDOM / 2)
        mixing = torch._standard_gamma(half) / half
        index = torch.randint(self.pool_size, (self.block,), device=self.like.device)
        steps = torch.arange(number * self.block, (number + 1) * self.block, dtype=torch.float64)
        start = (
            seed % 2**32
        ) / 2**32  # the seed is a hash: uniform over rows and seeds, the same for all blocks
        uniform = (start + GOLDEN * steps) % 1
        return RowNoise(normal, mixing, uniform.to(self.like.device), index)
