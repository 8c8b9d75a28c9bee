"""Real numbers with noise that has heavier tails than Gaussian noise."""

import math

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import Scale, resolved, spread, stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive


@LIKELIHOODS.register("laplace")
class Laplace(Family):
    """p(x | z) = ∏ᵢ exp(-|xᵢ - locᵢ| / scaleᵢ) / (2 scaleᵢ), with loc = median + std * decoder(z).

    Median and std are those of most training rows, std = 1.4826 median absolute deviations:
    outliers don't move them.

    Arguments:
        data_shape: shape of one row.
        scale: a number, in the data's units; "learned": one number for all features; "per_feature":
            one number each; "decoder": from z; "auto": "per_feature" for rows of columns,
            data_shape (D,), and "learned" for images and other shapes. It starts at std / √2.

    Example:
        >>> float(Laplace((1,), scale=0.5)(torch.zeros(1)).log_prob(torch.ones(1)))  # -2 - log 1
        -2.0
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
        noise = Positive(resolved(scale, data_shape), data_shape)
        super().__init__(data_shape, stacked(1 + noise.heads, data_shape))
        self.scale = noise
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(data.median)
        self.std.copy_(spread(data, robust=True))

    def independent(self) -> Distribution:
        return self._as_row(dist.Laplace(self.mean, self.std / math.sqrt(2)))

    def forward(self, raw: Tensor) -> Distribution:
        loc, *rest = self._outputs(raw)
        scale = self.scale(self.std / math.sqrt(2), *rest)
        each = dist.Laplace(self.mean + self.std * loc, scale)
        return self._as_row(each)

    def extra_repr(self) -> str:
        return f"x ~ Laplace(loc, scale), scale={self.scale.source!r}"
