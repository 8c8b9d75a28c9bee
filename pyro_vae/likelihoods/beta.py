"""Proportions strictly between 0 and 1."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import stacked, unstacked
from pyro_vae.long_tails import log_beta
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive, Source
from pyro_vae.special import wide

FLOOR = 1e-4


@LIKELIHOODS.register("beta")
class Beta(Family):
    """p(x | z) = ∏ᵢ Beta(xᵢ | c mᵢ, c (1 - mᵢ)) ∝ ∏ᵢ xᵢ^(c mᵢ - 1) (1 - xᵢ)^(c (1 - mᵢ) - 1) for 0
    < x < 1.

    The mean is m = σ(offset + decoder(z)), with variance m (1 - m) / (c + 1); both exponents stay
    above 1e-4 - 1.

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

    def __init__(self, data_shape: Shape, *, concentration: Source = "per_feature") -> None:
        source = Positive(concentration, data_shape)
        super().__init__(data_shape, stacked(1 + source.heads, data_shape))
        self.support = open_unit_interval
        self.concentration = source
        self.register_buffer("offset", torch.zeros(data_shape))
        self.register_buffer("unit", torch.full(data_shape, 2.0))

    def start_from(self, data: Statistics) -> None:
        self.offset.copy_(torch.logit(data.mean))
        self.unit.copy_((data.mean * (1 - data.mean) / data.std.square() - 1).clamp(1e-2, 1e3))

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, *rest = unstacked(raw, self.data_shape, self.param_shape)
        return self._row(self.offset + raw_mean, self.concentration(self.unit, *rest))

    def independent(self) -> Distribution:
        return self._row(self.offset, self.unit)

    def _row(self, logits: Tensor, concentration: Tensor) -> Distribution:
        first, second = (FLOOR + concentration * torch.sigmoid(sign * logits) for sign in (1, -1))
        row: Any = _Beta(first, second)
        return row.to_event(len(self.data_shape))

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

    def rsample(self, sample_shape: Any = torch.Size(), **options: Any) -> Tensor:
        drawn: Tensor = super().rsample(sample_shape, **options)
        numbers = torch.finfo(drawn.dtype)
        return drawn.clamp(numbers.tiny, 1 - numbers.eps / 2)

    def log_prob(self, value: Tensor) -> Tensor:
        """(a - 1) log x + (b - 1) log(1 - x) - log B(a, b), in float64: its terms cancel where both
        are large.
        """
        if self._validate_args:
            self._validate_sample(value)
        x, a, b = (wide(part) for part in (value, self.concentration1, self.concentration0))
        density = (a - 1) * x.log() + (b - 1) * (-x).log1p() - log_beta(a, b)
        return density.to(self.concentration1.dtype)
