"""Independent Laplace variables: most of them small, few of them large."""

import math
from typing import Literal

import pyro.distributions as dist
import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.networks.positive_numbers import PositiveTensor
from pyro_vae.priors.base import PRIORS

UNIT_VARIANCE = math.sqrt(0.5)


@PRIORS.register("laplace")
class Laplace(nn.Module):
    """p(z) = ∏ᵢ exp(-|zᵢ| / bᵢ) / 2bᵢ, which a rotation of z changes: the axes mean something.

    Its variance is 2b², so that by default each zᵢ has variance 1, as under the standard normal.

    Arguments:
        latent_dim: length of z.
        scale: b, one number for all; or "learned", one each, from 1/√2.

    Example:
        >>> round(float(Laplace(1, scale=0.5)().log_prob(torch.ones(1))), 4)  # -|1| / b - log 2b
        -2.0
    """

    loc: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        scale: PositiveFloat | Literal["learned"] = UNIT_VARIANCE,
    ) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.scale = PositiveTensor((latent_dim,), scale, start=UNIT_VARIANCE)

    def forward(self) -> Distribution:
        return dist.Laplace(self.loc, self.scale()).to_event(1)

    def extra_repr(self) -> str:
        return "z ~ Laplace(0, b)"
