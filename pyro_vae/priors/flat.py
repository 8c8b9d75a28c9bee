"""The flat prior, which turns the machine into an autoencoder."""

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.priors.base import PRIORS


@PRIORS.register("flat")
class Flat(nn.Module):
    """p(z) = 1 everywhere: no density, so no samples and no evidence.

    The loss is the reconstruction alone. Only a `delta` guide goes with it: the pair is the
    autoencoder.

    Arguments:
        latent_dim: length of z.

    Example:
        >>> float(Flat(2)().log_prob(torch.ones(2)))
        0.0
    """

    origin: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> Distribution:
        event_shape = self.origin.shape
        return _ImproperUniform(  # type: ignore[no-untyped-call]
            constraints.real_vector, torch.Size(), event_shape
        )

    def extra_repr(self) -> str:
        return "z ~ 1"


class _ImproperUniform(dist.ImproperUniform):
    """Pyro's, with zeros on the device and in the dtype of the values."""

    def log_prob(self, value: Tensor) -> Tensor:
        zeros: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
        return zeros.to(value)
