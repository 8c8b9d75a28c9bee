"""Grey values between 0 and 1."""

from collections.abc import Callable

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.networks import Shape


@LIKELIHOODS.register("continuous_bernoulli")
class ContinuousBernoulli(Family):
    """p(x | z) = ∏ᵢ C(λᵢ) λᵢ^xᵢ (1 - λᵢ)^(1 - xᵢ) for x in [0, 1], where C normalises.

    The decoder gives the log odds of λ.

    References:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        (Loaiza-Ganem, Cunningham, 2019).

    Arguments:
        data_shape: shape of one row.

    Example:
        >>> import torch
        >>> row = ContinuousBernoulli((1,))(torch.zeros(1))  # uniform, λ = ½
        >>> float(row.log_prob(torch.full((1,), 0.3)))
        0.0
    """

    support = constraints.unit_interval
    remedy = "scale the data into [0, 1], or take likelihood 'normal'"

    marginal: Tensor

    def __init__(self, data_shape: Shape) -> None:
        super().__init__(data_shape, data_shape)
        self.register_buffer("marginal", torch.zeros(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        """Keep the log odds of independent columns; the decoder starts at λ = ½."""
        self.marginal.copy_(logits_of(data.mean))

    def independent(self) -> Distribution:
        return self(self.marginal)

    def forward(self, raw: Tensor) -> Distribution:
        return self._as_row(_ContinuousBernoulli(logits=raw))

    def extra_repr(self) -> str:
        return "x ~ ContinuousBernoulli(logits)"


class _ContinuousBernoulli(dist.ContinuousBernoulli):
    """p(x) = exp(l (x - ½) - A(l)) for x in [0, 1], with A(l) = log(2 sinh(l / 2) / l).

    torch computes from probabilities instead of the logits l. They end at 1.2e-7 in float32: from
    l = 20 on the integral of its density is 0.8, and black pixels drive l there.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_normaliser = _series_or_exact(
            self.logits, _log_normaliser_series, _log_normaliser
        )
        return self.logits * (value - 0.5) - log_normaliser

    @property
    def mean(self) -> Tensor:
        slope = _series_or_exact(self.logits, _mean_slope_series, _mean_slope)
        return 0.5 + self.logits * slope

    @property
    def variance(self) -> Tensor:
        return _series_or_exact(self.logits, _variance_series, _variance)

    def entropy(self) -> Tensor:
        return -self.log_prob(self.mean)  # log p(x) is linear in x

    def cdf(self, value: Tensor) -> Tensor:
        rate = self._rate()
        distance = self._mirrored(value.clamp(0, 1))
        below = torch.expm1(-rate * distance) / torch.expm1(-rate)
        return self._mirrored(below)

    def icdf(self, value: Tensor) -> Tensor:
        rate = self._rate()
        below = self._mirrored(value)
        distance = -torch.log1p(below * torch.expm1(-rate)) / rate
        return self._mirrored(distance.clamp(0, 1))

    def _rate(self) -> Tensor:
        """The rate at which the density falls from its mode, which is 0 or 1."""
        return self.logits.abs().clamp(min=1e-6)

    def _mirrored(self, value: Tensor) -> Tensor:
        """1 - value where the mode is 1."""
        return torch.where(self.logits > 0, 1 - value, value)


# A(l), A'(l) / l - 1 / (2 l) and A''(l): their series in l², which hold near 0, and themselves


def _log_normaliser_series(square: Tensor) -> Tensor:
    return square * (
        1 / 24 - square * (1 / 2880 - square * (1 / 181440 - square / 9676800))
    )


def _log_normaliser(logits: Tensor) -> Tensor:
    size = logits.abs()
    return size / 2 + torch.log(-torch.expm1(-size) / size)


def _mean_slope_series(square: Tensor) -> Tensor:
    return 1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600))


def _mean_slope(logits: Tensor) -> Tensor:
    return (0.5 / torch.tanh(logits / 2) - 1 / logits) / logits


def _variance_series(square: Tensor) -> Tensor:
    return 1 / 12 - square * (1 / 240 - square * (1 / 6048 - square / 172800))


def _variance(logits: Tensor) -> Tensor:
    return 1 / logits.square() - 0.25 / torch.sinh(logits / 2).square()


def logits_of(mean: Tensor) -> Tensor:
    """The log odds that give this mean, in float64, by Newton's method.

    A mean of 0 or 1 has no log odds; it is taken as 1e-3 away from it.

    Example:
        >>> logits_of(torch.tensor([0.5, 0.9])).tolist()
        [0.0, 9.995...]
    """
    mean = mean.double().clamp(1e-3, 1 - 1e-3)
    middle = 12 * (mean - 0.5)  # the slope of the mean at log odds 0 is 1 / 12
    end = torch.where(
        mean > 0.5, 1 / (1 - mean), -1 / mean
    )  # exp(-|l|) is nothing there
    logits = torch.where((mean - 0.5).abs() < 0.3, middle, end)
    for _ in range(20):
        p = _ContinuousBernoulli(logits=logits, validate_args=False)
        logits = logits - (p.mean - mean) / p.variance
    return logits


def _series_or_exact(
    logits: Tensor,
    series: Callable[[Tensor], Tensor],
    exact: Callable[[Tensor], Tensor],
) -> Tensor:
    """`series` of the squared logits near zero, where the terms of `exact` cancel, else `exact`."""
    near = logits.abs() < 0.3
    # the values inside keep infinities out of the gradient of the branch that isn't taken
    from_series = series(torch.where(near, logits, 0.0).square())
    from_exact = exact(torch.where(near, 1.0, logits))
    return torch.where(near, from_series, from_exact)
