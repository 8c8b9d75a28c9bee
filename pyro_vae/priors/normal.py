"""Independent normals whose locations and scales are learned."""

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.networks.positive_numbers import PositiveTensor
from pyro_vae.priors.base import PRIORS


@PRIORS.register("normal")
class Normal(nn.Module):
    """p(z) = ∏ᵢ N(zᵢ | μᵢ, σᵢ²), with μ and σ learned from 0 and 1.

    The KL of a normal guide has a closed form. The best μ and σ² are mean and variance of the
    aggregate posterior. A decoder that may stretch z gains nothing from them; a fixed one, or one
    with a penalty on its weights, does.

    Arguments:
        latent_dim: length of z.

    Example:
        >>> Normal(2)().base_dist
        Normal(loc: torch.Size([2]), scale: torch.Size([2]))
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.scale = PositiveTensor((latent_dim,), "learned")

    def forward(self) -> Distribution:
        scale: Tensor = self.scale()
        return dist.Normal(self.loc, scale).to_event(1)

    def extra_repr(self) -> str:
        return "z ~ N(μ, diag σ²)"
