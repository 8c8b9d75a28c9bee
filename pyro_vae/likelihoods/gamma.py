"""Positive numbers whose spread grows with their mean."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive, Source, factor


@LIKELIHOODS.register("gamma")
class Gamma(Family):
    """p(x | z) = ∏ᵢ Gamma(xᵢ | k, k / mᵢ) ∝ ∏ᵢ xᵢ^(k - 1) exp(-k xᵢ / mᵢ) for x > 0.

    The mean m is that of the training rows times a positive factor from the decoder; the variance
    is m² / k.

    Arguments:
        data_shape: shape of one row.
        concentration: k: a number; "learned": one number for all features; "per_feature": one
            number each; "decoder": from z. It starts at mean² / variance of the training rows.

    Example:
        >>> exponential = Gamma((1,), concentration=1.0)(torch.zeros(1))
        >>> float(exponential.log_prob(torch.full((1,), 2.0)))
        -2.0
    """

    support = constraints.positive
    remedy = (
        "zeros need another likelihood: 'normal' of log(1 + x), counts 'negative_binomial'; "
        "negative ones 'normal'"
    )
    mean: Tensor
    unit: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        concentration: Source = "per_feature",
    ) -> None:
        source = Positive(concentration, data_shape)
        super().__init__(data_shape, stacked(1 + source.heads, data_shape))
        self.concentration = source
        self.register_buffer("mean", torch.ones(data_shape))
        self.register_buffer("unit", torch.ones(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        concentration = (data.mean / data.std).square()
        self.unit.copy_(concentration.clamp(1e-2, 1e3))

    def independent(self) -> Distribution:
        return self._row(self.unit, torch.ones_like(self.mean))

    def _row(self, concentration: Tensor, mean: Tensor) -> Distribution:
        """p(x) for means in units of those of the training rows.

        Two divisions, so that no gradient contains the square of a unit.
        """
        return self._as_row(_Gamma(concentration, concentration / mean / self.mean))

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, *rest = self._outputs(raw)
        concentration = self.concentration(self.unit, *rest)
        return self._row(concentration, factor(raw_mean))

    def extra_repr(self) -> str:
        return f"x ~ Gamma(k, k / mean), k={self.concentration.source!r}"


class _Gamma(dist.Gamma):
    """log p(x) = (k - 1) log y - y - log Γ(k) + log r with y = r x: no large terms cancel."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        k = self.concentration
        y = self.rate * value
        return (k - 1) * y.log() - y - torch.lgamma(k) + self.rate.log()
