"""A normal with a low-rank plus diagonal covariance, and its KL to independent normals."""

import math
from typing import Any

import pyro.distributions as dist
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    Normal,
    register_kl,
)

from pyro_vae.guides.base import GUIDES
from pyro_vae.networks import positive


@GUIDES.register("low_rank")
class LowRank(nn.Module):
    """q(z | x) = N(z | μ(x), diag σ(x)² + V(x) V(x)ᵀ), drawn as z = μ + σ ε + V η.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende,
        Mohamed, Wierstra, 2014), for structured covariances.
        Gaussian Variational Approximation with a Factor Covariance Structure (Ong, Nott, Smith,
        2018).

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.
        rank: columns of V.

    Example:
        >>> import torch
        >>> LowRank(16, 8, rank=2)(torch.zeros(5, 16)).cov_factor.shape
        torch.Size([5, 8, 2])
    """

    def __init__(
        self,
        features: int,
        latent_dim: int,
        *,
        rank: PositiveInt = 2,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.head = nn.Linear(features, 2 * latent_dim)
        self.factor = nn.Linear(features, latent_dim * rank)

    def forward(self, features: Tensor) -> Distribution:
        loc, raw_scale = self.head(features).chunk(2, -1)
        factor = self.factor(features).unflatten(-1, (loc.shape[-1], self.rank))
        # the square of the floor keeps I + Vᵀ V / σ² invertible in float32
        scale = positive(raw_scale, floor=1e-3)
        return LowRankNormal(loc, factor, scale.square())

    def extra_repr(self) -> str:
        return f"z ~ N(μ(x), diag σ(x)² + V(x) V(x)ᵀ), rank V = {self.rank}"


class LowRankNormal(dist.LowRankMultivariateNormal):
    """torch's normal, its density in float64: a difference of numbers that grow like V² / σ⁴."""

    def log_prob(self, value: Tensor) -> Tensor:
        wide = LowRankMultivariateNormal(
            self.loc.double(), self.cov_factor.double(), self.cov_diag.double()
        )
        return wide.log_prob(value.double()).to(value.dtype)


@register_kl(LowRankMultivariateNormal, Independent)
def _kl_low_rank_independent_normal(
    q: LowRankMultivariateNormal, p: Independent[Any]
) -> Tensor:
    """KL = ½ Σᵢ [log 2π sᵢ² + (Σᵢᵢ + (μᵢ - mᵢ)²) / sᵢ²] - H(q).

    q has mean μ and covariance Σ, and p = N(m, diag s²).
    """
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    m = p.base_dist.loc
    s2 = p.base_dist.variance
    scaled = (q.variance + (q.loc - m).square()) / s2
    cross_entropy = 0.5 * ((2 * math.pi * s2).log() + scaled).sum(-1)
    return cross_entropy - q.entropy()
