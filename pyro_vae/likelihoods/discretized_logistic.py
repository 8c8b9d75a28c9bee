"""Whole numbers of a few levels, such as the 256 of a pixel."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import spread, stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive, Source

STANDARD = math.sqrt(3) / math.pi
"""The scale of the logistic distribution whose standard deviation is 1."""


@LIKELIHOODS.register("discretized_logistic")
class DiscretizedLogistic(Family):
    """p(x | z) = ∏ᵢ Σₘ wₘ (σ((xᵢ + ½ - locₘ) / scaleₘ) - σ((xᵢ - ½ - locₘ) / scaleₘ)).

    A mixture of logistic distributions for x in {0, ..., levels - 1}, each level with the mass of
    its bin; the two bins at the ends are open. loc is mean + std * decoder(z), with the components
    spread over mean ± std.

    References:
        PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
        Modifications (Salimans, Karpathy, Chen, Kingma, 2017), without its autoregressive part.

    Arguments:
        data_shape: shape of one row.
        levels: the number of values.
        mixtures: components for each feature.
        scale: a number, in levels; "learned": one number for all features; "per_feature": one
            number each; "decoder": from z. It starts at the data's spread.

    Example:
        >>> row = DiscretizedLogistic((1,), levels=2)(torch.zeros(2, 1))
        >>> float(row.log_prob(torch.zeros(1)).exp() + row.log_prob(torch.ones(1)).exp())
        1.0
    """

    remedy = "scale and round the data to whole levels, raise levels, or take likelihood 'normal'"
    mean: Tensor
    std: Tensor
    offsets: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        levels: Annotated[int, Field(ge=2)] = 256,
        mixtures: PositiveInt = 1,
        scale: Source = "decoder",
    ) -> None:
        noise = Positive(scale, data_shape)
        heads = 1 + noise.heads + (mixtures > 1)
        super().__init__(data_shape, stacked(heads * mixtures, data_shape))
        self.levels = levels
        self.mixtures = mixtures
        self.heads = heads
        self.scale = noise
        self.support = constraints.integer_interval(0, levels - 1)
        self.register_buffer("mean", torch.full(data_shape, (levels - 1) / 2))
        self.register_buffer("std", torch.full(data_shape, levels / 4))
        ones = (1,) * len(data_shape)
        offsets = torch.zeros(1)
        if mixtures > 1:
            offsets = torch.linspace(-1, 1, mixtures)
        self.register_buffer("offsets", offsets.reshape(-1, *ones))

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(data.mean)
        self.std.copy_(spread(data))

    def independent(self) -> Distribution:
        row = _DiscretizedLogistic(self.mean, self.std * STANDARD, self.levels)
        return self._as_row(row)

    def forward(self, raw: Tensor) -> Distribution:
        event_dim = len(self.data_shape)
        leading = raw.shape[: raw.ndim - len(self.param_shape)]
        raw = raw.reshape(*leading, self.heads, self.mixtures, *self.data_shape)
        raw_loc, *rest = raw.unbind(-event_dim - 2)
        loc = self.mean + self.std * (self.offsets + raw_loc)
        of_scale = rest[: self.scale.heads]
        scale = self.scale(self.std * STANDARD, *of_scale).expand_as(loc)
        logits = torch.zeros_like(loc)
        if self.mixtures > 1:
            logits = rest[-1]
        # MixtureSameFamily expects the components in the last dimension
        components = -event_dim - 1
        each = _DiscretizedLogistic(
            loc.movedim(components, -1), scale.movedim(components, -1), self.levels
        )
        weights = dist.Categorical(logits=logits.movedim(components, -1))
        return dist.MixtureSameFamily(weights, each).to_event(event_dim)

    def extra_repr(self) -> str:
        return (
            f"x ~ DiscretizedLogistic, {self.levels} levels, {self.mixtures} components"
        )


class _DiscretizedLogistic(TorchDistribution):
    """x = round(y) for y ~ Logistic(loc, scale), kept in {0, ..., levels - 1}.

    With a and b the lower and the upper end of the bin in units of the scale, σ(b) - σ(a) = σ(b)
    σ(-a) (1 - e^(a - b)): nothing cancels, wherever the bin is.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        self.loc = loc
        self.scale = scale
        self.levels = levels
        super().__init__(loc.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        is_first = value == 0
        is_last = value == self.levels - 1
        log_above = logsigmoid((value + 0.5 - self.loc) / self.scale)
        log_below = logsigmoid((self.loc - value + 0.5) / self.scale)
        log_width = torch.log(-torch.expm1(-1 / self.scale))
        above = torch.where(is_last, 0.0, log_above)
        below = torch.where(is_first, 0.0, log_below)
        width = torch.where(is_first | is_last, 0.0, log_width)
        return above + below + width

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
            numbers = torch.finfo(uniform.dtype)
            inside = uniform.clamp(numbers.tiny, 1 - numbers.eps / 2)
            y = self.loc + self.scale * torch.logit(inside)
            return y.round().clamp(0, self.levels - 1)

    @property
    def mean(self) -> Tensor:
        total = torch.zeros_like(self.loc)
        for _, tail in self._tails():
            total = total + tail
        return total

    @property
    def variance(self) -> Tensor:
        second = torch.zeros_like(self.loc)
        for k, tail in self._tails():
            second = second + (2 * k - 1) * tail
        return second - self.mean.square()

    def _tails(self) -> Iterator[tuple[int, Tensor]]:
        """P(x ≥ k) for k = 1, ..., levels - 1: E[x] = Σ P(x ≥ k), E[x²] = Σ (2 k - 1) P(x ≥ k)."""
        for k in range(1, self.levels):
            yield k, torch.sigmoid((self.loc - k + 0.5) / self.scale)
