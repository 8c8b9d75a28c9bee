"""Independent normals: the guide of the variational autoencoder."""

import pyro.distributions as dist
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.guides.base import GUIDES
from pyro_vae.networks import positive


@GUIDES.register("mean_field")
class MeanField(nn.Module):
    """q(z | x) = N(z | μ(x), diag σ(x)²), drawn as z = μ + σ ε with ε ~ N(0, I).

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014).

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.

    Example:
        >>> import torch
        >>> MeanField(16, 2)(torch.zeros(5, 16)).event_shape
        torch.Size([2])
    """

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, 2 * latent_dim)

    def forward(self, features: Tensor) -> Distribution:
        loc, raw_scale = self.head(features).chunk(2, -1)
        return dist.Normal(loc, positive(raw_scale)).to_event(1)

    def extra_repr(self) -> str:
        return "z ~ N(μ(x), diag σ(x)²)"
