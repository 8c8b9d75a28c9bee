"""Real numbers with Gaussian noise."""

import math
from typing import Literal

import pyro.distributions as dist
import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.networks import Shape, positive

INVERSE_SOFTPLUS_OF_ONE = math.log(math.e - 1)


@LIKELIHOODS.register("normal")
class Normal(Family):
    """p(x | z) = ∏ᵢ N(xᵢ | locᵢ(z), scaleᵢ²), with loc = mean + std * decoder(z).

    Mean and std are those of the training rows, so that the decoder works in units of the data's spread; a scale that
    is not fixed starts at that spread. A feature that never varies is given the root-mean-square std of the others.

    Arguments:
        data_shape: shape of one row.
        scale: a number, in the data's units; "learned": one number for all features (a linear decoder is then
            probabilistic PCA); "per_feature": one number each; "decoder": from z.

    Example:
        >>> Normal((3,), scale=0.5)(torch.zeros(4, 3)).batch_shape
        torch.Size([4])
    """

    support = constraints.real
    remedy = "replace or drop the rows"
    mean: Tensor
    std: Tensor

    def __init__(
        self, data_shape: Shape, *, scale: PositiveFloat | Literal["learned", "per_feature", "decoder"] = "learned"
    ) -> None:
        super().__init__(data_shape, (2, *data_shape) if scale == "decoder" else data_shape)
        self.scale = scale
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))
        if scale in {"learned", "per_feature"}:
            shape = data_shape if scale == "per_feature" else ()
            self.raw_scale = nn.Parameter(torch.full(shape, INVERSE_SOFTPLUS_OF_ONE))

    def start_from(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        varies = data.std > 0
        typical = data.std[varies].square().mean().sqrt() if varies.any() else 1.0
        self.std.copy_(torch.where(varies, data.std, typical))

    def forward(self, raw: Tensor) -> Distribution:
        event_dim = len(self.data_shape)
        if self.scale == "decoder":
            loc, raw_scale = raw.unbind(-event_dim - 1)
            scale = self.std * positive(raw_scale + INVERSE_SOFTPLUS_OF_ONE)
        elif self.scale == "per_feature":
            loc, scale = raw, self.std * positive(self.raw_scale)
        elif self.scale == "learned":
            loc, scale = raw, self.std.square().mean().sqrt() * positive(self.raw_scale)
        else:
            loc, scale = raw, torch.as_tensor(self.scale, dtype=raw.dtype, device=raw.device)
        return dist.Normal(self.mean + self.std * loc, scale).to_event(event_dim)

    def extra_repr(self) -> str:
        return f"x ~ N(loc, scale²), scale={self.scale!r}"
