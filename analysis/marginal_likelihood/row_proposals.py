"""The proposals of automatic evidence: mixtures of fitted Student t's, the guide and the prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    LowRankMultivariateNormal,
    MultivariateNormal,
)

from pyro_vae.analysis.marginal_likelihood.proposals import as_normal
from pyro_vae.analysis.marginal_likelihood.row_noise import RowNoise
from pyro_vae.analysis.marginal_likelihood.student_t import RowStudentT
from pyro_vae.analysis.marginal_likelihood.triangular import log_det
from pyro_vae.guides.pushforward import Pushforward, standard_normal

GUIDE_SHARE = 0.15
"""Of the draws: they show the ELBO."""
PRIOR_SHARE = 0.05
"""Of the draws: they show a fit that found the wrong mode."""


class GuideDraws(NamedTuple):
    """Draws of a guide (draws, rows, latent_dim) and their log densities (draws, rows)."""

    z: Tensor
    log_prob: Tensor


class Draws(NamedTuple):
    """Draws of the proposals of some rows.

    Attributes:
        z: (draws, rows, latent_dim).
        component: what each was drawn from: the number of a fit, then the guide, then the prior,
            (draws, rows).
        from_guide: which were drawn from q(z | x), (draws, rows).
        log_fits: log tⱼ(z) of each fit, (draws, rows), in float64.
        log_guide: log q(z | x), (draws, rows); empty where the guide has no share.
    """

    z: Tensor
    component: Tensor
    from_guide: Tensor
    log_fits: list[Tensor]
    log_guide: Tensor


@dataclass(frozen=True)
class RowProposals:
    """r(z) = Σⱼ aⱼ tⱼ(z) + b q(z | x) + c p(z) for each row.

    No weight is above 1 / b times what the guide would give. The component of a draw is chosen by a
    systematic sample, u + k φ mod 1: each draw follows r, so that the mean weight is unbiased for
    any number of draws, and every component gets nearly its share.

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
        """The mixture whose fits share by `weights` what guide and prior leave.

        The weights (rows, fits) sum to one.
        """
        if not fits:
            guide_share = 1 - PRIOR_SHARE
        elif density_is_cheap(guide):
            guide_share = GUIDE_SHARE
        else:
            guide_share = 0.0
        fits_share = 1 - guide_share - PRIOR_SHARE
        others = weights.new_tensor([guide_share, PRIOR_SHARE]).expand(len(weights), 2)
        shares = torch.cat([fits_share * weights, others], 1).double()
        return cls(fits, shares, guide, prior, pool)

    @property
    def mixes_guide(self) -> bool:
        """Whether the guide has a share."""
        return bool(self.shares[:, -2].any())

    @property
    def stddev(self) -> Tensor:
        """Of the fit with the largest share, or of the guide without fits; (rows, latent_dim)."""
        if not self.fits:
            return self.guide.stddev
        largest = self.shares[:, : len(self.fits)].argmax(1)
        each = torch.stack([fit.stddev for fit in self.fits], 1)
        return each[torch.arange(len(each), device=each.device), largest]

    def draw(
        self,
        noise: RowNoise,
        guide_draws: GuideDraws | None,
    ) -> Draws:
        """The draws that `noise` makes, with the densities of what they are drawn from.

        That of the prior, which the weights need too, is left to the caller.

        Arguments:
            noise: of these rows.
            guide_draws: as many draws of the guide, with their densities; None where the guide has
                no share. A draw keeps the density of its own noise: solving for the noise would
                multiply the rounding of z.
        """
        component = self._component(noise.uniform)
        from_guide = component == len(self.fits)
        from_prior = component > len(self.fits)
        z = self.fits[0].draw(noise) if self.fits else torch.empty_like(noise.normal)
        for number, fit in enumerate(self.fits[1:], 1):
            is_own = component == number
            z[is_own] = fit.draw(noise)[is_own]
        z[from_prior] = self.pool[noise.pool_index[from_prior]]
        if guide_draws is not None:
            z[from_guide] = guide_draws.z[from_guide]
        log_guide = self._log_guide(z)
        if guide_draws is not None:
            log_guide = torch.where(from_guide, guide_draws.log_prob, log_guide)
        log_fits = self._log_fits(z, noise, component)
        return Draws(z, component, from_guide, log_fits, log_guide)

    def log_prob_of(self, draws: Draws, log_prior: Tensor) -> Tensor:
        """log r(z) of draws whose log p(z) is known, (draws, rows), in float64."""
        return self._mixed(draws.log_fits, draws.log_guide, log_prior)

    def log_prob(self, z: Tensor, /) -> Tensor:
        """log r(z) of any z (draws, rows, latent_dim), with gradients."""
        log_fits = [fit.log_prob(z) for fit in self.fits]
        log_guide = self._log_guide(z)
        log_prior = self.prior.log_prob(z)
        return self._mixed(log_fits, log_guide, log_prior).to(z.dtype)

    def _log_fits(
        self,
        z: Tensor,
        noise: RowNoise,
        component: Tensor,
    ) -> list[Tensor]:
        """log tⱼ of draws, those of tⱼ itself from their own noise."""
        squared_distance = noise.squared_distance()
        densities = []
        for number, fit in enumerate(self.fits):
            is_own = component == number
            log_own = fit.log_prob_at_distance(squared_distance)
            densities.append(_with_others(fit, z, log_own, is_own))
        return densities

    def _log_guide(self, z: Tensor) -> Tensor:
        if not self.mixes_guide:
            return z.new_empty(0)
        normal = as_normal(self.guide)
        if normal is None:
            return self.guide.log_prob(z)
        noise = (z - normal.loc) / normal.scale
        return standard_normal(noise) - normal.scale.log().sum(-1)

    def _mixed(
        self,
        log_fits: list[Tensor],
        log_guide: Tensor,
        log_prior: Tensor,
    ) -> Tensor:
        if not log_guide.numel():
            log_guide = torch.full_like(log_prior, -torch.inf)
        each = torch.stack([*log_fits, log_guide.double(), log_prior.double()], -1)
        return (each + self.shares.log()).logsumexp(-1)

    def _component(self, uniform: Tensor) -> Tensor:
        """The number of each draw's component, (draws, rows)."""
        edges = self.shares.cumsum(1)[:, :-1]
        is_beyond = uniform.double().unsqueeze(-1) >= edges
        return is_beyond.sum(-1)


def _with_others(
    fit: RowStudentT, z: Tensor, log_own: Tensor, is_own: Tensor
) -> Tensor:
    """log t of draws (draws, rows), where that of its own draws is known."""
    most = int((~is_own).sum(0).max())
    # those that are not its own come first; where a row has fewer, some of its own follow
    index = is_own.int().argsort(dim=0, stable=True)[:most]
    index_of_z = index.unsqueeze(-1).expand(-1, -1, z.shape[-1])
    log_any = fit.log_prob(z.gather(0, index_of_z))
    known = log_own.gather(0, index)
    chosen = torch.where(is_own.gather(0, index), known, log_any)
    return log_own.scatter(0, index, chosen)


def density_is_cheap(guide: Distribution) -> bool:
    """Whether log q(z | x) of any z takes a pass or two, and not one for each dimension.

    That of an inverse autoregressive flow takes one for each dimension.
    """
    return not isinstance(guide, Pushforward) or guide.passes <= 2


def drawn_from(guide: Any, noise: Tensor) -> GuideDraws | None:
    """Draws of a guide made from standard normal noise (draws, rows, latent_dim).

    None for a guide that is not made from such noise.
    """
    normal = as_normal(guide)
    if normal is not None:
        z = normal.loc + normal.scale * noise
        change = normal.scale.log().sum(-1)
    elif isinstance(guide, MultivariateNormal | LowRankMultivariateNormal):
        tril = guide.scale_tril
        z = guide.loc + (tril @ noise.unsqueeze(-1)).squeeze(-1)
        change = log_det(tril)
    elif isinstance(guide, Pushforward):
        z, change = guide.push(noise)
    else:
        return None
    return GuideDraws(z, standard_normal(noise) - change)
