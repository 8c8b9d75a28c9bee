"""Real numbers with Gaussian noise."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import any_unit
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import Scale, resolved, root_mean_square, spread
from pyro_vae.networks import Shape, positive

INVERSE_SOFTPLUS_OF_ONE = math.log(math.e - 1)


@LIKELIHOODS.register("normal")
class Normal(Family):
    """p(x | z) = ∏ᵢ N(xᵢ | locᵢ(z), scaleᵢ²), with loc = mean + std * decoder(z).

    Mean and std are those of the training rows, so that the decoder works in units of the data's
    spread; a scale that is not fixed starts at that spread. A feature that never varies is given
    the root-mean-square std of the others.

    Arguments:
        data_shape: shape of one row.
        scale: a number, in the data's units; "learned": one number for all features (a linear
            decoder is then probabilistic PCA); "per_feature": one number each; "decoder": from z;
            "auto": "per_feature" for rows of columns, data_shape (D,), and "learned" for images and
            other shapes.

    Example:
        >>> Normal((3,), scale=0.5)(torch.zeros(4, 3)).batch_shape
        torch.Size([4])
    """

    support = constraints.real
    remedy = "replace or drop the rows"
    mean: Tensor
    std: Tensor

    def __init__(self, data_shape: Shape, *, scale: Scale = "auto") -> None:
        scale = resolved(scale, data_shape)
        super().__init__(data_shape, (2, *data_shape) if scale == "decoder" else data_shape)
        self.scale = scale
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))
        if scale in {"learned", "per_feature"}:
            shape = data_shape if scale == "per_feature" else ()
            self.raw_scale = nn.Parameter(torch.full(shape, INVERSE_SOFTPLUS_OF_ONE))

    def start_from(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        self.std.copy_(spread(data))

    def independent(self) -> Distribution:
        row: Any = any_unit.Normal(self.mean, self.std)
        return row.to_event(len(self.data_shape))

    def forward(self, raw: Tensor) -> Distribution:
        event_dim = len(self.data_shape)
        if self.scale == "decoder":
            loc, raw_scale = raw.unbind(-event_dim - 1)
            scale = self.std * positive(raw_scale + INVERSE_SOFTPLUS_OF_ONE)
        elif self.scale == "per_feature":
            loc, scale = raw, self.std * positive(self.raw_scale)
        elif self.scale == "learned":
            loc, scale = raw, root_mean_square(self.std) * positive(self.raw_scale)
        else:
            loc, scale = raw, torch.as_tensor(self.scale, dtype=raw.dtype, device=raw.device)
        row: Any = any_unit.Normal(self.mean + self.std * loc, scale)
        return row.to_event(event_dim)

    def extra_repr(self) -> str:
        return f"x ~ N(loc, scale²), scale={self.scale!r}"
