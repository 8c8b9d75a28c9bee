"""Counts up to a known number that vary more than independent trials do."""

from typing import Annotated, Any

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, logit_of_mean
from pyro_vae.likelihoods.count_distribution import Counts
from pyro_vae.likelihoods.parameters import stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive, Source
from pyro_vae.special import log_factorial, log_rising

FLOOR = 1e-4


@LIKELIHOODS.register("beta_binomial")
class BetaBinomial(Family):
    """p(x | z) = ∏ᵢ C(n, xᵢ) B(xᵢ + aᵢ, n - xᵢ + bᵢ) / B(aᵢ, bᵢ) for x in {0, ..., n}.

    A binomial whose rate has the distribution Beta(a, b), with a = c m and b = c (1 - m). The mean
    of x is n m, where m = σ(offset + decoder(z)), and its variance n m (1 - m) (c + n) / (c + 1);
    for large c it is the binomial.

    References:
        A Probability Distribution Derived from the Binomial Distribution by Regarding the
        Probability of Success as Variable Between the Sets of Trials (Skellam, 1948).

    Arguments:
        data_shape: shape of one row.
        total_count: n, the largest value.
        concentration: c: a number; "learned": one number for all features; "per_feature": one
            number each; "decoder": from z. It starts where the variance is that of the training
            rows, between 0.01 and 1000.

    Example:
        >>> row = BetaBinomial((1,), total_count=2, concentration=2.0)(torch.zeros(1))  # a = b = 1
        >>> [round(float(row.log_prob(torch.tensor([x])).exp()), 3) for x in (0.0, 1.0, 2.0)]
        [0.333, 0.333, 0.333]
    """

    remedy = "raise total_count to the largest value, or take likelihood 'normal'"
    offset: Tensor
    unit: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        total_count: Annotated[PositiveInt, Field(examples=[16])],
        concentration: Source = "decoder",
    ) -> None:
        source = Positive(concentration, data_shape)
        super().__init__(data_shape, stacked(1 + source.heads, data_shape))
        self.total_count = total_count
        self.concentration = source
        self.support = constraints.integer_interval(0, total_count)
        self.register_buffer("offset", torch.zeros(data_shape))
        self.register_buffer("unit", torch.full(data_shape, 2.0))

    def pyro_vae_start(self, data: Statistics) -> None:
        n = self.total_count
        self.offset.copy_(logit_of_mean(data.mean / n, data.count * n))
        mean = torch.sigmoid(self.offset.double())
        ratio = data.std.square() / (n * mean * (1 - mean))  # (c + n) / (c + 1)
        concentration = (n - ratio) / (ratio - 1).clamp_min(1e-6)
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
        n = a.new_tensor(self.total_count)
        return self._as_row(BetaBinomialCounts(n, a, b))

    def extra_repr(self) -> str:
        source = self.concentration.source
        return f"x ~ BetaBinomial({self.total_count}, c m, c (1 - m)), c={source!r}"


class BetaBinomialCounts(Counts):
    """x ~ Binomial(n, r), r ~ Beta(a, b).

    By rising factorials Γ(a + x) / Γ(a), in which nothing cancels where a is large.
    """

    arg_constraints = {"a": constraints.positive, "b": constraints.positive}  # noqa: RUF012

    def __init__(
        self,
        total_count: Tensor,
        a: Tensor,
        b: Tensor,
    ) -> None:
        self.total_count = total_count
        self.a = a
        self.b = b
        super().__init__(a.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "BetaBinomialCounts":
        a = self.a.expand(batch_shape)
        b = self.b.expand(batch_shape)
        return BetaBinomialCounts(self.total_count, a, b)

    def parameters(self) -> tuple[Tensor, ...]:
        return self.a, self.b

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        a, b = parameters
        n = self.total_count.to(a.dtype)
        narrow = self.a.dtype
        successes = log_rising(a, value, narrow)
        failures = log_rising(b, n - value, narrow)
        trials = log_rising(a + b, n.expand_as(a), narrow)
        return successes + failures - trials

    def constant(self, value: Tensor) -> Tensor:
        n = self.total_count
        return log_factorial(value) + log_factorial(n - value) - log_factorial(n)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            rate = dist.Beta(self.a, self.b).expand(shape).sample()
            return torch.binomial(self.total_count.expand(shape), rate)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.a / (self.a + self.b)

    @property
    def variance(self) -> Tensor:
        n = self.total_count
        c = self.a + self.b
        return self.mean * (self.b / c) * (c + n) / (c + 1)
