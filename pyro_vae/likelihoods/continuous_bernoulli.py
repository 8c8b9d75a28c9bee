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
    """p(x | z) = ∏ᵢ C(λᵢ) λᵢ^xᵢ (1 - λᵢ)^(1 - xᵢ) with log odds of λ from the decoder, for x in [0,
    1]; C normalises.

    References:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        (Loaiza-Ganem, Cunningham, 2019).

    Arguments:
        data_shape: shape of one row.

    Example:
        >>> import torch
        >>> float(ContinuousBernoulli((1,))(torch.zeros(1)).log_prob(torch.full((1,), 0.3)))  # uniform at λ = ½
        0.0
    """

    support = constraints.unit_interval
    remedy = "scale the data into [0, 1], or take likelihood 'normal'"

    marginal: Tensor

    def __init__(self, data_shape: Shape) -> None:
        super().__init__(data_shape, data_shape)
        self.register_buffer("marginal", torch.zeros(data_shape))

    def start_from(self, data: Statistics) -> None:
        """Keep the log odds of independent columns; the decoder starts at λ = ½."""
        self.marginal.copy_(logits_of(data.mean))

    def independent(self) -> Distribution:
        return self(self.marginal)

    def forward(self, raw: Tensor) -> Distribution:
        return _ContinuousBernoulli(logits=raw).to_event(len(self.data_shape))

    def extra_repr(self) -> str:
        return "x ~ ContinuousBernoulli(logits)"


class _ContinuousBernoulli(dist.ContinuousBernoulli):
    """p(x) = exp(l (x - ½) - A(l)) for x in [0, 1], with A(l) = log(2 sinh(l / 2) / l), computed
    from the logits l.

    torch computes with probabilities, which end at 1.2e-7 in float32: from l = 20 it makes a
    density whose integral is 0.8, and black pixels drive l there.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_normaliser = _joined(
            self.logits,
            lambda square: (
                square * (1 / 24 - square * (1 / 2880 - square * (1 / 181440 - square / 9676800)))
            ),
            lambda logits: logits.abs() / 2 + torch.log(-torch.expm1(-logits.abs()) / logits.abs()),
        )
        return self.logits * (value - 0.5) - log_normaliser

    @property
    def mean(self) -> Tensor:
        slope = _joined(
            self.logits,
            lambda square: 1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)),
            lambda logits: (0.5 / torch.tanh(logits / 2) - 1 / logits) / logits,
        )
        return 0.5 + self.logits * slope

    @property
    def variance(self) -> Tensor:
        return _joined(
            self.logits,
            lambda square: 1 / 12 - square * (1 / 240 - square * (1 / 6048 - square / 172800)),
            lambda logits: 1 / logits.square() - 0.25 / torch.sinh(logits / 2).square(),
        )

    def entropy(self) -> Tensor:
        return -self.log_prob(self.mean)  # log p(x) is linear in x

    def cdf(self, value: Tensor) -> Tensor:
        rate, distance = self._from_the_mode(value.clamp(0, 1))
        below = torch.expm1(-rate * distance) / torch.expm1(-rate)
        return torch.where(self.logits > 0, 1 - below, below)

    def icdf(self, value: Tensor) -> Tensor:
        rate, below = self._from_the_mode(value)
        distance = (-torch.log1p(below * torch.expm1(-rate)) / rate).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - distance, distance)

    def _from_the_mode(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The rate at which the density falls from its mode, an end of [0, 1], and `value` counted
        from that end.
        """
        return self.logits.abs().clamp(min=1e-6), torch.where(self.logits > 0, 1 - value, value)


def logits_of(mean: Tensor) -> Tensor:
    """The log odds at which the mean is that, in float64, by Newton's method from the nearer end or
    the middle.

    A mean at an end has no log odds; it is taken as 1e-3 away from it.

    Example:
        >>> logits_of(torch.tensor([0.5, 0.9])).tolist()
        [0.0, 9.995...]
    """
    mean = mean.double().clamp(1e-3, 1 - 1e-3)
    middle = 12 * (mean - 0.5)  # the slope of the mean at log odds 0 is 1 / 12
    end = torch.where(mean > 0.5, 1 / (1 - mean), -1 / mean)  # exp(-|l|) is nothing there
    logits = torch.where((mean - 0.5).abs() < 0.3, middle, end)
    for _ in range(20):
        p = _ContinuousBernoulli(logits=logits, validate_args=False)
        logits = logits - (p.mean - mean) / p.variance
    return logits


def _joined(
    logits: Tensor, series: Callable[[Tensor], Tensor], exact: Callable[[Tensor], Tensor]
) -> Tensor:
    """`series` of the squared logits near zero, where `exact` would cancel, and `exact` of the
    logits elsewhere.
    """
    near = logits.abs() < 0.3
    return torch.where(
        near, series(torch.where(near, logits, 0.0).square()), exact(torch.where(near, 1.0, logits))
    )
