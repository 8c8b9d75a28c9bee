"""Real numbers with Gaussian noise."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import any_unit
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import Scale, resolved, spread, stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive

RAW_OF_ONE = math.log(math.e - 1)
"""softplus of it is 1, so that a scale starts at 1.0001 times the spread of the data."""


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

    def __init__(
        self,
        data_shape: Shape,
        *,
        scale: Scale = "auto",
    ) -> None:
        source = resolved(scale, data_shape)
        noise = Positive(source, data_shape, raw_of_one=RAW_OF_ONE, start=RAW_OF_ONE)
        super().__init__(data_shape, stacked(1 + noise.heads, data_shape))
        self.scale = noise
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        self.std.copy_(spread(data))

    def independent(self) -> Distribution:
        return self._as_row(any_unit.Normal(self.mean, self.std))

    def forward(self, raw: Tensor) -> Distribution:
        loc, *rest = self._outputs(raw)
        scale = self.scale(self.std, *rest)
        each = any_unit.Normal(self.mean + self.std * loc, scale)
        return self._as_row(each)

    def extra_repr(self) -> str:
        return f"x ~ N(loc, scale²), scale={self.scale.source!r}"
