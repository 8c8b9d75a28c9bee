"""Proportions strictly between 0 and 1."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import stacked
from pyro_vae.long_tails import log_beta
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive, Source
from pyro_vae.special import wide

FLOOR = 1e-4


@LIKELIHOODS.register("beta")
class Beta(Family):
    """p(x | z) = ∏ᵢ Beta(xᵢ | c mᵢ, c (1 - mᵢ)) for 0 < x < 1.

    The density is proportional to xᵢ^(c mᵢ - 1) (1 - xᵢ)^(c (1 - mᵢ) - 1), whose exponents stay
    above 1e-4 - 1. The mean is m = σ(offset + decoder(z)), the variance m (1 - m) / (c + 1).

    References:
        Beta Regression for Modelling Rates and Proportions (Ferrari, Cribari-Neto, 2004).

    Arguments:
        data_shape: shape of one row.
        concentration: c: a number; "learned": one number for all features; "per_feature": one
            number each; "decoder": from z. It starts at mean (1 - mean) / variance - 1 of the
            training rows.

    Example:
        >>> float(Beta((1,), concentration=2.0)(torch.zeros(1)).mean)
        0.5
    """

    remedy = (
        "0 and 1 themselves have no density: take likelihood 'continuous_bernoulli' (values in [0, "
        "1]), 'discretized_logistic' (levels) or 'normal'"
    )
    offset: Tensor
    unit: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        concentration: Source = "per_feature",
    ) -> None:
        source = Positive(concentration, data_shape)
        super().__init__(data_shape, stacked(1 + source.heads, data_shape))
        self.support = open_unit_interval
        self.concentration = source
        self.register_buffer("offset", torch.zeros(data_shape))
        self.register_buffer("unit", torch.full(data_shape, 2.0))

    def pyro_vae_start(self, data: Statistics) -> None:
        mean = data.mean
        self.offset.copy_(torch.logit(mean))
        concentration = mean * (1 - mean) / data.std.square() - 1
        self.unit.copy_(concentration.clamp(1e-2, 1e3))

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, *rest = self._outputs(raw)
        concentration = self.concentration(self.unit, *rest)
        return self._row(self.offset + raw_mean, concentration)

    def independent(self) -> Distribution:
        return self._row(self.offset, self.unit)

    def _row(
        self,
        logits: Tensor,
        concentration: Tensor,
    ) -> Distribution:
        a = FLOOR + concentration * torch.sigmoid(logits)
        b = FLOOR + concentration * torch.sigmoid(-logits)
        return self._as_row(_Beta(a, b))

    def extra_repr(self) -> str:
        return f"x ~ Beta(c m, c (1 - m)), c={self.concentration.source!r}"


class _OpenUnitInterval(constraints.Constraint):
    """The numbers strictly between 0 and 1."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)

    def __repr__(self) -> str:
        return "of numbers strictly between 0 and 1"


open_unit_interval = _OpenUnitInterval()


class _Beta(dist.Beta):
    """The beta distribution; draws that would round to 0 or 1 become the nearest number inside."""

    support = open_unit_interval  # type: ignore[assignment]

    def rsample(
        self,
        sample_shape: Any = torch.Size(),
        **options: Any,
    ) -> Tensor:
        drawn: Tensor = super().rsample(sample_shape, **options)
        numbers = torch.finfo(drawn.dtype)
        return drawn.clamp(numbers.tiny, 1 - numbers.eps / 2)

    def log_prob(self, value: Tensor) -> Tensor:
        """(a - 1) log x + (b - 1) log(1 - x) - log B(a, b) in float64, since the terms cancel."""
        if self._validate_args:
            self._validate_sample(value)
        x = wide(value)
        a = wide(self.concentration1)
        b = wide(self.concentration0)
        successes = (a - 1) * x.log()
        failures = (b - 1) * (-x).log1p()
        density = successes + failures - log_beta(a, b)
        return density.to(self.concentration1.dtype)
