"""Distributions of counts, each with its formula for log p(x)."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.likelihoods.count_distribution import Counts
from pyro_vae.special import log_factorial, log_one_plus, log_rising, softplus, wide


class Poisson(Counts):
    """p(x) = exp(-r) r^x / x!."""

    arg_constraints = {"rate": constraints.nonnegative}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, rate: Tensor) -> None:
        self.rate = rate
        super().__init__(rate.shape)

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "Poisson":
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
        self.total_count = total_count
        self.logits = logits
        super().__init__(logits.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "Binomial":
        return Binomial(self.total_count, self.logits.expand(batch_shape))

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        (logits,) = parameters
        log_normaliser = self.total_count * softplus(logits, self.logits.dtype)
        return (value * logits).sub_(log_normaliser)

    def constant(self, value: Tensor) -> Tensor:
        n = self.total_count
        return log_factorial(value) + log_factorial(n - value) - log_factorial(n)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            total_count = self.total_count.expand(shape)
            probs = self.logits.sigmoid().expand(shape)
            return torch.binomial(total_count, probs)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        return self.mean * (-self.logits).sigmoid()


class NegativeBinomial(Counts):
    """p(x) = Γ(θ + x) / (Γ(θ) x!) (φ m)^x / (1 + φ m)^(θ + x) with θ = 1 / φ.

    Its mean is m and its variance m + φ m².

    The dispersion φ may be of fewer dimensions than the mean: what depends on it alone is then
    computed once.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, mean: Tensor, dispersion: Tensor) -> None:
        self.loc = mean
        self.dispersion = dispersion
        super().__init__(torch.broadcast_shapes(mean.shape, dispersion.shape))

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "NegativeBinomial":
        return NegativeBinomial(self.loc.expand(batch_shape), self.dispersion)

    def parameters(self) -> tuple[Tensor, ...]:
        return self.loc, self.dispersion

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        mean, dispersion = parameters
        theta = 1 / dispersion
        odds = mean * dispersion
        narrow = self.dispersion.dtype
        failures = (theta + value) * log_one_plus(odds, narrow)
        powers = (value * odds.log()).sub_(failures)
        return powers + log_rising(theta, value, narrow)

    def constant(self, value: Tensor) -> Tensor:
        return log_factorial(value)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Poisson counts whose rate is a gamma variable."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            theta = (1 / self.dispersion).expand(shape)
            scale = (self.loc * self.dispersion).expand(shape)
            return torch.poisson(scale * torch._standard_gamma(theta))

    @property
    def mean(self) -> Tensor:
        return self.loc.expand(self.batch_shape)

    @property
    def variance(self) -> Tensor:
        return self.mean + self.dispersion * self.mean.square()


class ZeroInflated(Counts):
    """Zero with probability σ(gate_logits), else a draw from `counts`.

    p(0) = σ(-g) (e^g + p_counts(0)) and p(x) = σ(-g) p_counts(x), all in log odds. Pyro's class
    computes with probabilities once its mean has been read: log p(x > 0) is then -inf from log odds
    of 17 in float32.

    Example:
        >>> ZeroInflated(Poisson(torch.tensor(3.0)), torch.tensor(60.0)).log_prob(torch.tensor(2.0))
        tensor(-61.4959, dtype=torch.float64)
    """

    arg_constraints = {"gate_logits": constraints.real}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, counts: Any, gate_logits: Tensor) -> None:
        shape = torch.broadcast_shapes(counts.batch_shape, gate_logits.shape)
        self.counts = counts.expand(shape)
        self.gate_logits = gate_logits.expand(shape)
        super().__init__(shape)

    def expand(
        self,
        batch_shape: Any,
        _instance: Any = None,
    ) -> "ZeroInflated":
        return ZeroInflated(self.counts, self.gate_logits.expand(batch_shape))

    def parameters(self) -> tuple[Tensor, ...]:
        return self.gate_logits, *self.counts.parameters()

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        gate, *rest = parameters
        # where x is 0, the constant of the counts is 0 too
        counted = self.counts.varying(value, *rest)
        narrow = self.gate_logits.dtype
        zero = gate + softplus(counted - gate, narrow)
        return torch.where(value == 0, zero, counted).sub_(softplus(gate, narrow))

    def constant(self, value: Tensor) -> Tensor:
        return self.counts.constant(value)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            counts: Tensor = self.counts.sample(sample_shape)
            open_probs = torch.sigmoid(-self.gate_logits).expand_as(counts)
            return counts * torch.bernoulli(open_probs)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.gate_logits) * self.counts.mean

    @property
    def variance(self) -> Tensor:
        second = self.counts.variance + self.counts.mean.square()
        return torch.sigmoid(-self.gate_logits) * second - self.mean.square()


class Multinomial(Counts):
    """Counts x given their sum n: p(x) = n! ∏ᵢ softmax(l)ᵢ^xᵢ / xᵢ!.

    Draws and the mean have the sum `total`.
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, total: Tensor, logits: Tensor) -> None:
        self.total = total
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:])

    def parameters(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        (logits,) = parameters
        return (value * logits.log_softmax(-1)).sum(-1)

    def constant(self, value: Tensor) -> Tensor:
        total = wide(value).sum(-1)
        return log_factorial(value).sum(-1) - log_factorial(total)

    def pyro_vae_given(self, value: Tensor) -> "Multinomial":
        """The same distribution; its draws and means have the totals of the rows `value`."""
        return Multinomial(value.sum(-1), self.logits)

    @property
    def mean(self) -> Tensor:
        return self.total.unsqueeze(-1) * self.logits.softmax(-1)

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.logits.softmax(-1))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """One count after the other: each is binomial, given what those before it have left."""
        with torch.no_grad():
            logits = self.logits.expand(self._extended_shape(sample_shape))
            here_or_later = logits.flip(-1).logcumsumexp(-1).flip(-1)
            shares = (logits - here_or_later).exp().clamp(max=1)
            left = self.total.expand(logits.shape[:-1])
            counts = []
            for share in shares.unbind(-1):
                count = torch.binomial(left, share)
                counts.append(count)
                left = left - count
            return torch.stack(counts, -1)
