"""A point: the guide of the autoencoder."""

import pyro.distributions as dist
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.guides.base import GUIDES


@GUIDES.register("delta")
class Delta(nn.Module):
    """q(z | x) = δ(z - code(x)): one code for each row.

    It has no density, so log p(x) can't be estimated with it.

    Arguments:
        features: width of the encoder's output.
        latent_dim: length of z.

    Example:
        >>> import torch
        >>> Delta(16, 2)(torch.zeros(5, 16)).sample().shape
        torch.Size([5, 2])
    """

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, latent_dim)

    def forward(self, features: Tensor) -> Distribution:
        return dist.Delta(self.head(features), event_dim=1)

    def extra_repr(self) -> str:
        return "z = code(x)"
