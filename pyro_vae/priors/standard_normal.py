"""The standard normal prior."""

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.priors.base import PRIORS


@PRIORS.register("standard_normal")
class StandardNormal(nn.Module):
    """p(z) = N(z | 0, I).

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014).

    Arguments:
        latent_dim: length of z.

    Example:
        >>> float(StandardNormal(2)().log_prob(torch.zeros(2)))  # -log(2 pi)
        -1.837...
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self) -> Distribution:
        return dist.Normal(self.loc, self.scale).to_event(1)

    def extra_repr(self) -> str:
        return "z ~ N(0, I)"
