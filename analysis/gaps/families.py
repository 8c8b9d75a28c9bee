"""Families of distributions over z with parameters of their own for each row, which contain the
guide's q(z | x).
"""

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

from pyro_vae.guides.low_rank import LowRankNormal
from pyro_vae.guides.pushforward import standard_normal
from pyro_vae.objectives.base import type_name
from pyro_vae.rng import own_seed, row_seed

Parameters = Sequence[Tensor]

BLOCK = 200
"""Draws of a row that share one seed: always drawn whole, so that no number of draws changes the
first ones.
"""


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
    """Distributions of one family, one for each row; those at the parameters `start` are the
    guide's.

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
        """Draws z (draws, rows, latent_dim) made from noise, and log q of each (draws, rows), with
        gradients.
        """

    @abstractmethod
    def noise_of(self, q: Distribution) -> Tensor:
        """One block of noise for one row."""

    def noise(self, count: int, stream: int) -> Tensor:
        """Noise for `count` draws of each row, (count, rows, ...); each row and stream has numbers
        of its own.
        """
        blocks = range(-(-count // BLOCK))
        each = zip(self.rows.each, self.rows.seeds, strict=True)
        noise = [
            torch.cat([self._block(q, own + (stream << 20) + block) for block in blocks])
            for q, own in each
        ]
        return torch.cat(noise, 1)[:count]

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
        """The density has the gradient of the draws alone: the rest has mean zero and would only be
        noise.

        References:
            Sticking the Landing: Simple, Lower-Variance Gradient Estimators (Roeder, Wu, Duvenaud,
            2017).
        """
        z = self.push(self.at(parameters), noise)
        return z, self.log_prob([parameter.detach() for parameter in parameters], z)


class IndependentNormals(_Normals):
    """N(z | μ + σ δ, diag (σ eˢ)²), for the guide's μ and σ."""

    name = "independent normals"

    def __init__(self, q: Any, rows: Rows) -> None:
        super().__init__(rows)
        self.loc, self.scale = q.mean, q.stddev
        self.width = self.loc.shape[-1]
        self.start = [torch.zeros_like(self.loc), torch.zeros_like(self.loc)]

    def at(self, parameters: Parameters) -> Distribution:
        shift, log_scale = parameters
        return dist.Normal(self.loc + self.scale * shift, self.scale * log_scale.exp()).to_event(1)

    def push(self, q: Distribution, noise: Tensor) -> Tensor:
        return q.mean + q.stddev * noise


class FullRankNormals(_Normals):
    """N(z | μ + L δ, L T Tᵀ Lᵀ) for the guide's μ and L, with T lower triangular."""

    name = "normals with a full covariance"

    def __init__(self, q: Any, rows: Rows) -> None:
        super().__init__(rows)
        self.loc, self.tril = q.loc, q.scale_tril
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
        """log q = log N(ε | 0, I) - log det L, and ∂ log q / ∂z = -L⁻ᵀ ε: solving for ε would
        multiply rounding.
        """
        q: Any = self.at(parameters)
        z, tril = self.push(q, noise), q.scale_tril.detach()
        slope = torch.linalg.solve_triangular(tril.mT, noise.permute(1, 2, 0), upper=True).permute(
            2, 0, 1
        )
        log_q = standard_normal(noise) - tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return z, log_q - (slope * (z - z.detach())).sum(-1)


class LowRankNormals(_Normals):
    """N(z | μ + σ δ, diag d e²ˢ + σ W Wᵀ σ) for the guide's μ, d and σ² = d + diag V Vᵀ."""

    def __init__(self, q: Any, rows: Rows) -> None:
        super().__init__(rows)
        self.loc, self.diagonal, self.scale = q.loc, q.cov_diag, q.stddev
        dim, rank = q.cov_factor.shape[-2:]
        self.name, self.width = f"normals with a covariance diag + rank {rank}", dim + rank
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
        self.q, self.name = q, f"affine maps of the guide's {type_name(q)}"
        drawn = self.noise(BLOCK, stream=0)[..., :-1]
        self.loc, self.scale = drawn.mean(0), drawn.std(0)
        self.start = [torch.zeros_like(self.loc), torch.diag_embed(torch.zeros_like(self.loc))]

    def noise_of(self, q: Distribution) -> Tensor:
        u = q.sample(torch.Size([BLOCK]))
        return torch.cat([u, q.log_prob(u).unsqueeze(-1)], -1)

    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        shift, tril = self._map(parameters)
        u = torch.linalg.solve_triangular(tril, (z - shift).unsqueeze(-1), upper=False).squeeze(-1)
        return self.q.log_prob(u) - log_det(parameters[1])

    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        shift, raw = parameters
        return self.loc + self.scale * shift, self.scale * lower_triangular(raw).norm(dim=-1)

    def draw(self, parameters: Parameters, noise: Tensor) -> tuple[Tensor, Tensor]:
        shift, tril = self._map(parameters)
        u, log_q = noise[..., :-1], noise[..., -1]
        return shift + times(tril, u), log_q - log_det(parameters[1])

    def _map(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """b and A of z = b + A u."""
        shift, raw = parameters
        tril = self.scale.unsqueeze(-1) * lower_triangular(raw) / self.scale.unsqueeze(-2)
        return self.loc + self.scale * shift - (tril @ self.loc.unsqueeze(-1)).squeeze(-1), tril


def local(q: Any, rows: Rows) -> Local:
    """The family of the guide, free for each row: of normals if q is normal, else the affine maps
    of what it is.

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
    normal = isinstance(q, Independent) and isinstance(q.base_dist, Normal)
    return (IndependentNormals if normal else AffineMaps)(q, rows)


def times(matrix: Tensor, vectors: Tensor) -> Tensor:
    """A v for the matrix A (rows, n, m) of each row and vectors v (draws, rows, m): one product a
    row.

    Example:
        >>> times(2 * torch.eye(3).expand(4, 3, 3), torch.ones(5, 4, 3)).shape
        torch.Size([5, 4, 3])
    """
    return (matrix @ vectors.permute(1, 2, 0)).permute(2, 0, 1)


def lower_triangular(raw: Tensor) -> Tensor:
    """A lower triangular matrix with a positive diagonal; the identity for zeros."""
    return raw.tril(-1) + torch.diag_embed(raw.diagonal(dim1=-2, dim2=-1).exp())


def log_det(raw: Tensor) -> Tensor:
    """The log of that matrix's determinant."""
    return raw.diagonal(dim1=-2, dim2=-1).sum(-1)
