"""The logistic function σ of a normal variable: its mean, and the variable where it is chosen by σ.

σ is replaced by a scale mixture of normal distribution functions,

    σ(t) = 1 / (1 + e^-t) ≈ Σₖ pₖ Φ(sₖ t),   |error| < 2.2e-9

with which all integrals over a normal variable have closed forms.

References:
    Normal scale mixture approximations to F*(z) and computation of the logistic-normal integral
    (Monahan, Stefanski, 1992).
"""

import math
from typing import Any, NamedTuple

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.special import log_ndtr, ndtr, ndtri

from pyro_vae.special import HALF_LOG_2_PI, wide

WEIGHTS = (
    0.0014529488764790585,
    0.027954678233526004,
    0.1311893696625109,
    0.2742442202475482,
    0.3155321625454777,
    0.19494574470047585,
    0.0514427422709483,
    0.0032381334630338537,
)
"""pₖ: positive numbers that sum to one."""
SCALES = (
    0.2382464205562276,
    0.30895622536686845,
    0.3963868066245709,
    0.5082334154242648,
    0.6508572565686637,
    0.8309467665088393,
    1.0597120800727728,
    1.3655592725675905,
)
"""sₖ: with the weights, those of the smallest largest error, by weighted least squares."""
LOWEST = -30.0
"""Below it Φ⁻¹ is replaced by the tail of the Rayleigh distribution, relative error 1 / 30²."""


def log_mean_sigmoid(mean: Tensor, variance: Tensor) -> Tensor:
    """log E[σ(t)] for t ~ N(mean, variance).

    E[σ(t)] ≈ Σₖ pₖ Φ(sₖ mean / √(1 + sₖ² variance))

    Where mean + variance / 2 < 0 it is taken from the other side, so that the relative error is
    small too, however improbable it is:

    E[σ(t)] = e^(mean + variance / 2) E[σ(-t)] with t ~ N(mean + variance, variance) on the right

    Arguments:
        mean, variance: of t; they broadcast.

    Example:
        >>> log_mean_sigmoid(torch.tensor([0.0, -50.0]), torch.tensor(4.0))
        tensor([ -0.6931, -48.0000])
    """
    half = mean + variance / 2
    is_small = half < 0
    reflected = torch.where(is_small, -mean - variance, mean)
    terms = [
        math.log(weight) + log_ndtr(scale * reflected / _length(scale, variance))
        for weight, scale in zip(WEIGHTS, SCALES, strict=True)
    ]
    return half.clamp(max=0.0) + torch.stack(terms).logsumexp(0)


def _length(scale: float, variance: Tensor) -> Tensor:
    return torch.sqrt(1 + scale**2 * variance)


class _Components(NamedTuple):
    """ε = shift + δ v + √(1 - δ²) e in each component: e ~ N(0, 1), and v ~ N(0, 1) given v > -c.

    Attributes:
        shift: (...).
        log_weight: of each component, (..., K).
        bound: c, (..., K).
        share: δ, (..., K).
    """

    shift: Tensor
    log_weight: Tensor
    bound: Tensor
    share: Tensor


class SelectedNormal(TorchDistribution):
    """p(x) ∝ N(x | loc, scale²) σ(logit + slope (x - loc) / scale): chosen by its value.

    It is a mixture of extended skew normal distributions, one for each term of the mixture of σ.
    Mean and variance have closed forms, and draws are exact up to the error of that mixture.

    References:
        The Skew-Normal and Related Families (Azzalini, Capitanio, 2014).

    Arguments:
        loc, scale: of the normal distribution.
        logit: of the probability to be chosen at loc.
        slope: by which it grows over one scale.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> SelectedNormal(zero, one, zero, 100 * one).mean  # nearly √(2 / π), that of |x|
        tensor(0.7978)
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(
        self, loc: Tensor, scale: Tensor, logit: Tensor, slope: Tensor
    ) -> None:
        self.loc, self.scale, self.logit, self.slope = torch.broadcast_tensors(
            loc, scale, logit, slope
        )
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "SelectedNormal":
        parameters = (self.loc, self.scale, self.logit, self.slope)
        return SelectedNormal(*(each.expand(batch_shape) for each in parameters))

    @property
    def log_mass(self) -> Tensor:
        """log of the probability to be chosen."""
        return log_mean_sigmoid(self.logit, self.slope.square())

    def log_prob(self, value: Tensor) -> Tensor:
        standard = (value - self.loc) / self.scale
        density = -0.5 * standard.square() - HALF_LOG_2_PI - self.scale.log()
        chosen = torch.nn.functional.logsigmoid(self.logit + self.slope * standard)
        return density + chosen - self.log_mass

    def log_moment_ratio(self, rate: Tensor) -> Tensor:
        """log E[e^(rate x)] of the chosen x."""
        tilt = rate * self.scale
        grown = log_mean_sigmoid(self.logit + self.slope * tilt, self.slope.square())
        return rate * self.loc + tilt.square() / 2 + grown - self.log_mass

    @property
    def mean(self) -> Tensor:
        mean, _ = self._standard_moments()
        return self.loc + self.scale * mean.to(self.loc)

    @property
    def variance(self) -> Tensor:
        _, variance = self._standard_moments()
        return self.scale.square() * variance.to(self.loc)

    def _standard_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of ε = (x - loc) / scale, in float64.

        E[v] = φ(c) / Φ(c) and E[v²] = 1 - c E[v] of the truncated v.
        """
        shift, log_weight, bound, share = self._components()
        weight = log_weight.softmax(-1)
        mills = torch.exp(-bound.square() / 2 - HALF_LOG_2_PI - log_ndtr(bound))
        each = share * mills
        mean = (weight * each).sum(-1)
        own = 1 - share.square() * mills * (bound + mills)
        between = (each - mean.unsqueeze(-1)).square()
        return shift + mean, (weight * (own + between)).sum(-1)

    def _components(self) -> _Components:
        """The mixture; from the other side of σ where that is likelier: see `log_mean_sigmoid`."""
        logit = wide(self.logit)
        slope = wide(self.slope)
        variance = slope.square()
        is_small = logit + variance / 2 < 0
        shift = torch.where(is_small, slope, 0.0)
        logit = torch.where(is_small, -logit - variance, logit).unsqueeze(-1)
        slope = torch.where(is_small, -slope, slope).unsqueeze(-1)
        scales = slope.new_tensor(SCALES)
        length = torch.sqrt(1 + (scales * slope).square())
        bound = scales * logit / length
        log_weight = slope.new_tensor(WEIGHTS).log() + log_ndtr(bound)
        return _Components(shift, log_weight, bound, scales * slope / length)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            shift, log_weight, bound, share = self._components()
            number = _drawn_component(log_weight, shape)
            c, delta = (
                each.expand(*shape, -1).gather(-1, number).squeeze(-1)
                for each in (bound, share)
            )
            noise = torch.randn(shape, dtype=c.dtype, device=c.device)
            standard = shift + delta * above(c) + (1 - delta.square()).sqrt() * noise
            return self.loc + self.scale * standard.to(self.loc)


def _drawn_component(log_weight: Tensor, shape: torch.Size) -> Tensor:
    """The number of a component, drawn for each of `shape`, (*shape, 1)."""
    up_to = log_weight.softmax(-1).cumsum(-1)
    uniform = torch.rand((*shape, 1), dtype=up_to.dtype, device=up_to.device)
    return (up_to[..., :-1] < uniform).sum(-1, keepdim=True)


def above(bound: Tensor) -> Tensor:
    """Draws of v ~ N(0, 1) given v > -bound, by the inverse of Φ.

    Example:
        >>> bool((above(torch.tensor([-3.0, -100.0])) > torch.tensor([3.0, 100.0])).all())
        True
    """
    tiny = torch.finfo(bound.dtype).tiny
    uniform = torch.rand_like(bound).clamp(min=tiny)
    inner = bound.clamp(min=LOWEST)
    inverse = -ndtri(uniform * ndtr(inner))
    # -Φ⁻¹ of a uniform number that rounds to 1
    inverse = torch.maximum(inverse, -inner)
    tail = torch.sqrt(bound.square() - 2 * uniform.log())
    return torch.where(bound < LOWEST, tail, inverse)


class SelectedLogNormal(TorchDistribution):
    """x = e^y with y ~ `SelectedNormal`: log-normal, and chosen by the value of its logarithm.

    E[x^q] = e^(q loc + q² scale² / 2) E[σ(t + q slope scale)] / E[σ(t)],   t ~ N(logit, slope²)

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> SelectedLogNormal(SelectedNormal(zero, one, zero, zero)).mean  # √e
        tensor(1.6487)
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.positive

    def __init__(self, logarithm: SelectedNormal) -> None:
        self.logarithm = logarithm
        super().__init__(logarithm.batch_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "SelectedLogNormal":
        return SelectedLogNormal(self.logarithm.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.logarithm.log_prob(value.log()) - value.log()

    @property
    def mean(self) -> Tensor:
        return self._log_moment(1.0).exp().to(self.logarithm.loc)

    @property
    def variance(self) -> Tensor:
        log_mean = self._log_moment(1.0)
        excess = torch.expm1(self._log_moment(2.0) - 2 * log_mean)
        return ((2 * log_mean).exp() * excess).to(self.logarithm.loc)

    def _log_moment(self, power: float) -> Tensor:
        """log E[x^power], in float64."""
        y = self.logarithm
        parameters = (wide(each) for each in (y.loc, y.scale, y.logit, y.slope))
        exact = SelectedNormal(*parameters)
        return exact.log_moment_ratio(torch.full_like(exact.loc, power))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        drawn = self.logarithm.sample(sample_shape).exp()
        numbers = torch.finfo(drawn.dtype)
        return drawn.clamp(numbers.tiny, numbers.max)
