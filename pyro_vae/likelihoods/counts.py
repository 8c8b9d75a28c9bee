"""Distributions of counts, whose large terms cancel: their sums are in float64, whatever the type
of the model.
"""

import math
from abc import abstractmethod
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.special import log_factorial, log_one_plus, log_rising, softplus, wide

IN_CACHE, MOST_PARTS = 2**16, 16
"""Numbers that are looked at together: half a megabyte of float64. A graph has no more than so many
parts.
"""


class Counts(dist.TorchDistribution):
    """A distribution of counts with log p(x) = varying(x, parameters) - constant(x), in float64.

    The value is that of the formulas in float64. Where gradients are asked for, they come from the
    formula in the type of the parameters, whose terms do not cancel in the derivative, and which is
    faster: its value is subtracted.
    """

    @abstractmethod
    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors that may have gradients."""

    @abstractmethod
    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        """The terms of log p(x) that depend on the parameters."""

    @abstractmethod
    def constant(self, value: Tensor) -> Tensor:
        """The other terms, with a minus, of the same shape as x."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.summed(value, 0)

    def summed(self, value: Tensor, dims: int) -> Tensor:
        """log p(x), summed over so many dimensions on the right."""
        with torch.no_grad():
            x = wide(value)
            exact = [
                _sum(self.varying(x, *map(wide, part)), dims) for part in self._parts(value.ndim)
            ]
            total = (exact[0] if len(exact) == 1 else torch.cat(exact)) - _sum(
                self.constant(value), dims
            )
        if not torch.is_grad_enabled():
            return total
        narrow = _sum(self.varying(value, *self.parameters()), dims)
        return total + (narrow - narrow.detach())

    def _parts(self, dims: int) -> list[tuple[Tensor, ...]]:
        """The parameters, cut along the draws of each row where there are some: float64 numbers
        stay in the cache.
        """
        parameters = self.parameters()
        most = max(parameters, key=lambda parameter: parameter.ndim)
        if most.ndim <= dims or not most.numel():
            return [parameters]
        count = min(len(most), MOST_PARTS, math.ceil(most.numel() / IN_CACHE))
        cut = [
            p.tensor_split(count) if p.ndim == most.ndim and len(p) > 1 else [p] * count
            for p in parameters
        ]
        return list(zip(*cut, strict=True))

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        dims = (
            len(self.batch_shape)
            if reinterpreted_batch_ndims is None
            else reinterpreted_batch_ndims
        )
        return CountRow(self, dims)


def _sum(terms: Tensor, dims: int) -> Tensor:
    return terms.flatten(-dims).sum(-1) if dims else terms


class CountRow(dist.Independent):
    """Independent counts as one row: their log probabilities are summed in float64."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        counts: Counts = self.base_dist
        return counts.summed(value, self.reinterpreted_batch_ndims)


class Poisson(Counts):
    """p(x) = exp(-r) r^x / x!."""

    arg_constraints = {"rate": constraints.nonnegative}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, rate: Tensor) -> None:
        self.rate = rate
        super().__init__(rate.shape)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Poisson":
        return Poisson(self.rate.expand(batch_shape))

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.rate,)

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        (rate,) = parameters
        return (value * rate.log()).sub_(rate)

    def constant(self, value: Tensor) -> Tensor:
        return log_factorial(value)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            return torch.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def variance(self) -> Tensor:
        return self.rate


class Binomial(Counts):
    """p(x) = C(n, x) σ(l)^x (1 - σ(l))^(n - x), with n of a shape that the logits' ends with."""

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012

    def __init__(self, total_count: Tensor, logits: Tensor) -> None:
        self.total_count, self.logits = total_count, logits
        super().__init__(logits.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Binomial":
        return Binomial(self.total_count, self.logits.expand(batch_shape))

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        (logits,) = parameters
        return (value * logits).sub_(self.total_count * softplus(logits, self.logits.dtype))

    def constant(self, value: Tensor) -> Tensor:
        n = self.total_count
        return log_factorial(value) + log_factorial(n - value) - log_factorial(n)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            return torch.binomial(
                self.total_count.expand(shape), self.logits.sigmoid().expand(shape)
            )

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        return self.mean * (-self.logits).sigmoid()


class NegativeBinomial(Counts):
    """Counts with mean m and variance m + φ m²: p(x) = Γ(θ + x) / (Γ(θ) x!) (φ m)^x / (1 + φ m)^(θ
    + x), θ = 1 / φ.

    The dispersion φ may be of fewer dimensions than the mean: what depends on it alone is then
    computed once.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, mean: Tensor, dispersion: Tensor) -> None:
        self.loc, self.dispersion = mean, dispersion
        super().__init__(torch.broadcast_shapes(mean.shape, dispersion.shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> "NegativeBinomial":
        return NegativeBinomial(self.loc.expand(batch_shape), self.dispersion)

    def parameters(self) -> tuple[Tensor, ...]:
        return self.loc, self.dispersion

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        mean, dispersion = parameters
        theta, odds = 1 / dispersion, mean * dispersion
        failures = (theta + value) * log_one_plus(odds, self.dispersion.dtype)
        return (value * odds.log()).sub_(failures) + log_rising(theta, value, self.dispersion.dtype)

    def constant(self, value: Tensor) -> Tensor:
        return log_factorial(value)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Poisson counts whose rate is a gamma variable."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            theta, scale = (
                (1 / self.dispersion).expand(shape),
                (self.loc * self.dispersion).expand(shape),
            )
            return torch.poisson(scale * torch._standard_gamma(theta))

    @property
    def mean(self) -> Tensor:
        return self.loc.expand(self.batch_shape)

    @property
    def variance(self) -> Tensor:
        return self.mean + self.dispersion * self.mean.square()


class ZeroInflated(Counts):
    """Zero with probability σ(gate_logits), else a draw from `counts`, all in log odds.

    p(0) = σ(-g) (e^g + p_counts(0)) and p(x) = σ(-g) p_counts(x). Pyro's own computes with
    probabilities once its mean has been looked at: log p(x > 0) is then -inf from log odds of 17 in
    float32.

    Example:
        >>> ZeroInflated(Poisson(torch.tensor(3.0)), torch.tensor(60.0)).log_prob(torch.tensor(2.0))
        tensor(-61.4959, dtype=torch.float64)
    """

    arg_constraints = {"gate_logits": constraints.real}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, counts: Any, gate_logits: Tensor) -> None:
        shape = torch.broadcast_shapes(counts.batch_shape, gate_logits.shape)
        self.counts, self.gate_logits = counts.expand(shape), gate_logits.expand(shape)
        super().__init__(shape)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "ZeroInflated":
        return ZeroInflated(self.counts, self.gate_logits.expand(batch_shape))

    def parameters(self) -> tuple[Tensor, ...]:
        return self.gate_logits, *self.counts.parameters()

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        gate, *rest = parameters
        counted = self.counts.varying(
            value, *rest
        )  # where x is 0, the constant of the counts is 0 too
        narrow = self.gate_logits.dtype
        zero = gate + softplus(counted - gate, narrow)
        return torch.where(value == 0, zero, counted).sub_(softplus(gate, narrow))

    def constant(self, value: Tensor) -> Tensor:
        return self.counts.constant(value)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            counts: Tensor = self.counts.sample(sample_shape)
            return counts * torch.bernoulli(torch.sigmoid(-self.gate_logits).expand_as(counts))

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.gate_logits) * self.counts.mean

    @property
    def variance(self) -> Tensor:
        second = self.counts.variance + self.counts.mean.square()
        return torch.sigmoid(-self.gate_logits) * second - self.mean.square()


class Multinomial(Counts):
    """Counts x given their sum n: p(x) = n! ∏ᵢ softmax(l)ᵢ^xᵢ / xᵢ!; `total` is that of draws and
    of the mean.
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, total: Tensor, logits: Tensor) -> None:
        self.total, self.logits = total, logits
        super().__init__(logits.shape[:-1], logits.shape[-1:])

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        (logits,) = parameters
        return (value * logits.log_softmax(-1)).sum(-1)

    def constant(self, value: Tensor) -> Tensor:
        return log_factorial(value).sum(-1) - log_factorial(wide(value).sum(-1))

    def given(self, value: Tensor) -> "Multinomial":
        """The same, whose draws and means have the totals of the rows `value`."""
        return Multinomial(value.sum(-1), self.logits)

    @property
    def mean(self) -> Tensor:
        return self.total.unsqueeze(-1) * self.logits.softmax(-1)

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.logits.softmax(-1))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """One count after the other: each is binomial, given what the ones before have left."""
        with torch.no_grad():
            logits = self.logits.expand(self._extended_shape(sample_shape))
            here_or_later = logits.flip(-1).logcumsumexp(-1).flip(-1)
            counts, left = [], self.total.expand(logits.shape[:-1])
            for share in (logits - here_or_later).exp().clamp(max=1).unbind(-1):
                counts.append(torch.binomial(left, share))
                left = left - counts[-1]
            return torch.stack(counts, -1)
