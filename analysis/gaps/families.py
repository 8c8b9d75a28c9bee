"""Families of distributions over z, with parameters for each row, that contain the guide."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_vae.analysis.marginal_likelihood.triangular import log_det, lower_triangular, times
from pyro_vae.guides.low_rank import LowRankNormal
from pyro_vae.guides.pushforward import standard_normal
from pyro_vae.objectives.base import type_name
from pyro_vae.rng import own_seed, row_seed

Parameters = Sequence[Tensor]

BLOCK = 200
"""Draws of a row that share one seed, drawn whole: no number of draws changes the first ones."""


class Rows(NamedTuple):
    """Rows x with the guide's q(z | x) of each, of batch shape (1,), and a seed for each.

    Arguments:
        x: shaped (rows, *data_shape).
        each: q(z | x).
        seeds: which are the rows' own.
    """

    x: Tensor
    each: Sequence[Distribution]
    seeds: Sequence[int]

    @classmethod
    def of(cls, x: Tensor, each: Sequence[Distribution], seed: int) -> "Rows":
        """Seeds from the numbers of each row, whatever stands beside it."""
        return cls(x, each, [row_seed(row, str(seed)) for row in x])


class Local(ABC):
    """Distributions of one family, one for each row; at the parameters `start` they are the guide.

    Arguments:
        rows: which they are for.

    Attributes:
        name: of the family, in words.
        start: the parameters of the guide, each shaped (rows, ...).
    """

    name: str
    start: Parameters

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @abstractmethod
    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        """log q of any z (draws, rows, latent_dim)."""

    @abstractmethod
    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each, (rows, latent_dim)."""

    @abstractmethod
    def draw(self, parameters: Parameters, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z (draws, rows, latent_dim) from noise, and log q (draws, rows), with gradients."""

    @abstractmethod
    def noise_of(self, q: Distribution) -> Tensor:
        """One block of noise for one row."""

    def noise(self, count: int, stream: int) -> Tensor:
        """Noise for `count` draws of each row, (count, rows, ...).

        The numbers of a row and a stream depend on nothing else.
        """
        num_blocks = math.ceil(count / BLOCK)
        columns = []
        for q, seed in zip(self.rows.each, self.rows.seeds, strict=True):
            first_seed = seed + (stream << 20)
            blocks = [self._block(q, first_seed + block) for block in range(num_blocks)]
            columns.append(torch.cat(blocks))
        return torch.cat(columns, 1)[:count]

    def _block(self, q: Distribution, seed: int) -> Tensor:
        with own_seed(seed, self.rows.x.device):
            return self.noise_of(q)


class _Normals(Local):
    """Normals, drawn from standard normal noise of `width` numbers."""

    width: int

    @abstractmethod
    def at(self, parameters: Parameters) -> Distribution:
        """The members of the family at some parameters."""

    @abstractmethod
    def push(self, q: Distribution, noise: Tensor) -> Tensor:
        """The draw that some noise gives."""

    def noise_of(self, q: Distribution) -> Tensor:
        return torch.randn(BLOCK, 1, self.width, dtype=self.rows.x.dtype, device=self.rows.x.device)

    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        return self.at(parameters).log_prob(z)

    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        q = self.at(parameters)
        return q.mean, q.stddev

    def draw(self, parameters: Parameters, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The density has the gradient of the draws alone: the rest has mean zero, and only noise.

        References:
            Sticking the Landing: Simple, Lower-Variance Gradient Estimators (Roeder, Wu, Duvenaud,
            2017).
        """
        z = self.push(self.at(parameters), noise)
        fixed = [parameter.detach() for parameter in parameters]
        return z, self.log_prob(fixed, z)


class IndependentNormals(_Normals):
    """N(z | μ + σ δ, diag (σ eˢ)²), for the guide's μ and σ."""

    name = "independent normals"

    def __init__(self, q: Any, rows: Rows) -> None:
        super().__init__(rows)
        self.loc = q.mean
        self.scale = q.stddev
        self.width = self.loc.shape[-1]
        self.start = [torch.zeros_like(self.loc), torch.zeros_like(self.loc)]

    def at(self, parameters: Parameters) -> Distribution:
        shift, log_scale = parameters
        loc = self.loc + self.scale * shift
        return dist.Normal(loc, self.scale * log_scale.exp()).to_event(1)

    def push(self, q: Distribution, noise: Tensor) -> Tensor:
        return q.mean + q.stddev * noise


class FullRankNormals(_Normals):
    """N(z | μ + L δ, L T Tᵀ Lᵀ) for the guide's μ and L, with T lower triangular."""

    name = "normals with a full covariance"

    def __init__(self, q: Any, rows: Rows) -> None:
        super().__init__(rows)
        self.loc = q.loc
        self.tril = q.scale_tril
        self.width = self.loc.shape[-1]
        self.start = [torch.zeros_like(self.loc), torch.zeros_like(self.tril)]

    def at(self, parameters: Parameters) -> Distribution:
        shift, raw = parameters
        loc = self.loc + (self.tril @ shift.unsqueeze(-1)).squeeze(-1)
        return dist.MultivariateNormal(loc, scale_tril=self.tril @ lower_triangular(raw))

    def push(self, q: Any, noise: Tensor) -> Tensor:
        drawn: Tensor = q.loc + times(q.scale_tril, noise)
        return drawn

    def draw(self, parameters: Parameters, noise: Tensor) -> tuple[Tensor, Tensor]:
        """log q = log N(ε | 0, I) - log det L, with the slope ∂ log q / ∂z = -L⁻ᵀ ε.

        Solving for ε would multiply the rounding of z.
        """
        q: Any = self.at(parameters)
        z = self.push(q, noise)
        tril = q.scale_tril.detach()
        minus_slope = torch.linalg.solve_triangular(tril.mT, noise.permute(1, 2, 0), upper=True)
        log_q = standard_normal(noise) - log_det(tril)
        # z - z.detach() is zero, and has the gradient of z
        return z, log_q - (minus_slope.permute(2, 0, 1) * (z - z.detach())).sum(-1)


class LowRankNormals(_Normals):
    """N(z | μ + σ δ, diag d e²ˢ + σ W Wᵀ σ) for the guide's μ, d and σ² = d + diag V Vᵀ."""

    def __init__(self, q: Any, rows: Rows) -> None:
        super().__init__(rows)
        self.loc = q.loc
        self.diagonal = q.cov_diag
        self.scale = q.stddev
        dim, rank = q.cov_factor.shape[-2:]
        self.name = f"normals with a covariance diag + rank {rank}"
        self.width = dim + rank
        self.start = [
            torch.zeros_like(self.loc),
            q.cov_factor / self.scale.unsqueeze(-1),
            torch.zeros_like(self.loc),
        ]

    def at(self, parameters: Parameters) -> Distribution:
        shift, factor, log_scale = parameters
        return LowRankNormal(
            self.loc + self.scale * shift,
            self.scale.unsqueeze(-1) * factor,
            self.diagonal * (2 * log_scale).exp(),
        )

    def push(self, q: Any, noise: Tensor) -> Tensor:
        own, shared = noise.split([q.loc.shape[-1], q.cov_factor.shape[-1]], -1)
        drawn: Tensor = q.loc + q.cov_diag.sqrt() * own + times(q.cov_factor, shared)
        return drawn


class AffineMaps(Local):
    """The distributions of z = μ + σ (δ + T (u - μ) / σ) for u ~ q(z | x), with T lower triangular.

    The noise is u, with log q(u | x) behind it; μ and σ are mean and standard deviation of a block
    of it.
    """

    def __init__(self, q: Distribution, rows: Rows) -> None:
        super().__init__(rows)
        self.q = q
        self.name = f"affine maps of the guide's {type_name(q)}"
        draws = self.noise(BLOCK, stream=0)[..., :-1]
        self.loc = draws.mean(0)
        self.scale = draws.std(0)
        zeros = torch.zeros_like(self.loc)
        self.start = [zeros, torch.diag_embed(zeros)]

    def noise_of(self, q: Distribution) -> Tensor:
        u = q.sample(torch.Size([BLOCK]))
        return torch.cat([u, q.log_prob(u).unsqueeze(-1)], -1)

    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        shift, tril = self._map(parameters)
        u = torch.linalg.solve_triangular(tril, (z - shift).unsqueeze(-1), upper=False).squeeze(-1)
        return self.q.log_prob(u) - log_det_of_raw(parameters[1])

    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        shift, raw = parameters
        return self.loc + self.scale * shift, self.scale * lower_triangular(raw).norm(dim=-1)

    def draw(self, parameters: Parameters, noise: Tensor) -> tuple[Tensor, Tensor]:
        shift, tril = self._map(parameters)
        u = noise[..., :-1]
        log_q = noise[..., -1]
        return shift + times(tril, u), log_q - log_det_of_raw(parameters[1])

    def _map(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """b and A of z = b + A u."""
        shift, raw = parameters
        tril = self.scale.unsqueeze(-1) * lower_triangular(raw) / self.scale.unsqueeze(-2)
        image_of_loc = (tril @ self.loc.unsqueeze(-1)).squeeze(-1)
        return self.loc + self.scale * shift - image_of_loc, tril


def local(q: Any, rows: Rows) -> Local:
    """The family of the guide, free for each row: all normals of its type, or its affine maps.

    Arguments:
        q: q(z | x) of some rows.
        rows: those rows.

    Example:
        >>> q = dist.Normal(torch.zeros(1, 2), 1.0).to_event(1)
        >>> local(q.expand((3,)), Rows.of(torch.zeros(3, 4), [q] * 3, seed=0)).name
        'independent normals'
    """
    if isinstance(q, MultivariateNormal):
        return FullRankNormals(q, rows)
    if isinstance(q, LowRankMultivariateNormal):
        return LowRankNormals(q, rows)
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return IndependentNormals(q, rows)
    return AffineMaps(q, rows)


def log_det_of_raw(raw: Tensor) -> Tensor:
    """The log determinant of `lower_triangular(raw)`."""
    return raw.diagonal(dim1=-2, dim2=-1).sum(-1)
