"""Positive numbers whose spread grows with their mean."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import Positive, Source, factor, stacked, unstacked
from pyro_vae.networks import Shape


@LIKELIHOODS.register("gamma")
class Gamma(Family):
    """p(x | z) = ∏ᵢ Gamma(xᵢ | k, k / mᵢ) ∝ ∏ᵢ xᵢ^(k - 1) exp(-k xᵢ / mᵢ) for x > 0.

    The mean m is that of the training rows times a positive factor from the decoder; the variance is m² / k.

    Arguments:
        data_shape: shape of one row.
        concentration: k: a number; "learned": one number for all features; "per_feature": one number each;
            "decoder": from z. It starts at mean² / variance of the training rows.

    Example:
        >>> float(Gamma((1,), concentration=1.0)(torch.zeros(1)).log_prob(torch.full((1,), 2.0)))  # exponential
        -2.0
    """

    support = constraints.positive
    remedy = "zeros need another likelihood: 'normal' of log(1 + x), counts 'negative_binomial'; negative ones 'normal'"
    mean: Tensor
    unit: Tensor

    def __init__(self, data_shape: Shape, *, concentration: Source = "per_feature") -> None:
        source = Positive(concentration, data_shape)
        super().__init__(data_shape, stacked(1 + source.heads, data_shape))
        self.concentration = source
        self.register_buffer("mean", torch.ones(data_shape))
        self.register_buffer("unit", torch.ones(data_shape))

    def start_from(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        self.unit.copy_((data.mean / data.std).square().clamp(1e-2, 1e3))

    def independent(self) -> Distribution:
        return dist.Gamma(self.unit, self.unit / self.mean).to_event(len(self.data_shape))

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, *rest = unstacked(raw, self.data_shape, self.param_shape)
        mean, concentration = self.mean * factor(raw_mean), self.concentration(self.unit, *rest)
        return dist.Gamma(concentration, concentration / mean).to_event(len(self.data_shape))

    def extra_repr(self) -> str:
        return f"x ~ Gamma(k, k / mean), k={self.concentration.source!r}"
