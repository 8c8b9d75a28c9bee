"""Families of normals, with parameters for each row, that contain a normal guide."""

from abc import abstractmethod
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.gaps.local_family import BLOCK, Local, Parameters, Rows
from pyro_vae.analysis.marginal_likelihood.triangular import (
    log_det,
    lower_triangular,
    times,
)
from pyro_vae.guides.low_rank import LowRankNormal
from pyro_vae.guides.pushforward import standard_normal


class Normals(Local):
    """Normals, drawn from standard normal noise of `width` numbers."""

    width: int

    @abstractmethod
    def at(self, parameters: Parameters) -> Distribution:
        """The members of the family at some parameters."""

    @abstractmethod
    def push(self, q: Distribution, noise: Tensor) -> Tensor:
        """The draw that some noise gives."""

    def noise_of(self, q: Distribution) -> Tensor:
        return torch.randn(
            BLOCK, 1, self.width, dtype=self.rows.x.dtype, device=self.rows.x.device
        )

    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        return self.at(parameters).log_prob(z)

    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        q = self.at(parameters)
        return q.mean, q.stddev

    def draw(
        self,
        parameters: Parameters,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The density has the gradient of the draws alone: the rest has mean zero, and only noise.

        References:
            Sticking the Landing: Simple, Lower-Variance Gradient Estimators (Roeder, Wu, Duvenaud,
            2017).
        """
        z = self.push(self.at(parameters), noise)
        fixed = [parameter.detach() for parameter in parameters]
        return z, self.log_prob(fixed, z)


class IndependentNormals(Normals):
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


class FullRankNormals(Normals):
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
        return dist.MultivariateNormal(
            loc, scale_tril=self.tril @ lower_triangular(raw)
        )

    def push(self, q: Any, noise: Tensor) -> Tensor:
        drawn: Tensor = q.loc + times(q.scale_tril, noise)
        return drawn

    def draw(
        self,
        parameters: Parameters,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """log q = log N(ε | 0, I) - log det L, with the slope ∂ log q / ∂z = -L⁻ᵀ ε.

        Solving for ε would multiply the rounding of z.
        """
        q: Any = self.at(parameters)
        z = self.push(q, noise)
        tril = q.scale_tril.detach()
        minus_slope = torch.linalg.solve_triangular(
            tril.mT, noise.permute(1, 2, 0), upper=True
        )
        log_q = standard_normal(noise) - log_det(tril)
        # z - z.detach() is zero, and has the gradient of z
        return z, log_q - (minus_slope.permute(2, 0, 1) * (z - z.detach())).sum(-1)


class LowRankNormals(Normals):
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
