"""A normal with a full covariance, and its closed-form KL to independent normals."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    register_kl,
)

from pyro_vae.guides.base import GUIDES
from pyro_vae.guides.pushforward import Drawn, standard_normal
from pyro_vae.networks import positive


@GUIDES.register("full_rank")
class FullRank(nn.Module):
    """q(z | x) = N(z | μ(x), L(x) L(x)ᵀ), drawn as z = μ + L ε.

    L is lower triangular with a positive diagonal.

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.

    Example:
        >>> FullRank(16, 2)(torch.zeros(5, 16)).covariance_matrix.shape
        torch.Size([5, 2, 2])
    """

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.loc = nn.Linear(features, latent_dim)
        self.diagonal = nn.Linear(features, latent_dim)
        self.lower = nn.Linear(features, latent_dim * latent_dim)

    def forward(self, features: Tensor) -> Distribution:
        loc = self.loc(features)
        dim = loc.shape[-1]
        diagonal = positive(self.diagonal(features))
        lower = self.lower(features).unflatten(-1, (dim, dim))
        scale_tril = lower.tril(-1) + torch.diag_embed(diagonal)
        return CholeskyNormal(loc, scale_tril=scale_tril)

    def extra_repr(self) -> str:
        return "z ~ N(μ(x), L(x) L(x)ᵀ)"


class CholeskyNormal(dist.MultivariateNormal):
    """N(μ, L Lᵀ) whose last draw keeps its log density, log N(ε | 0, I) - log det L.

    It is computed from the noise ε of the draw. At other points ε = L⁻¹ (z - μ), which multiplies
    the rounding error of z: by 10⁸ and more where L is nearly singular, as for rows far from those
    of the training.
    """

    _drawn: Drawn | None = None

    def rsample(
        self,
        sample_shape: Any = torch.Size(),
        generator: torch.Generator | None = None,
    ) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(
            shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device
        )
        z: Tensor = self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        self._drawn = Drawn(
            z, standard_normal(noise) - log_det, torch.is_grad_enabled()
        )
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is not None:
            kept = self._drawn.of(value)
            if kept is not None:
                return kept
        density: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
        return density


@register_kl(MultivariateNormal, Independent)
def _kl_multivariate_normal_independent_normal(
    q: MultivariateNormal, p: Independent[Any]
) -> Tensor:
    """KL = ½ Σᵢ [(Σᵢᵢ + (μᵢ - mᵢ)²) / sᵢ² - 1 + log sᵢ²] - log det L.

    q = N(μ, Σ = L Lᵀ) and p = N(m, diag s²).
    """
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    m = p.base_dist.loc
    s2 = p.base_dist.variance
    scaled = (q.variance + (q.loc - m).square()) / s2
    log_det = q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (scaled - 1 + s2.log()).sum(-1) - log_det
