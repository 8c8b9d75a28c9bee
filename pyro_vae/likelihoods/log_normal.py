"""Positive numbers whose logarithm is Gaussian."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.mechanisms import Direction
from pyro_vae.likelihoods.mechanisms_of_numbers import OfLogNormal
from pyro_vae.likelihoods.parameters import Scale, resolved, stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive


@LIKELIHOODS.register("log_normal")
class LogNormal(Family):
    """p(x | z) = ∏ᵢ N(log xᵢ | locᵢ, scaleᵢ²) / xᵢ for x > 0, loc = start + spread * decoder(z).

    Start and spread are those of log x by the moments of the training rows,
    spread² = log(1 + std² / mean²), so that a decoder at zero gives their mean.

    Arguments:
        data_shape: shape of one row.
        scale: standard deviation of log x: a number; "learned": one number for all features;
            "per_feature": one number each; "decoder": from z; "auto": "per_feature" for rows of
            columns, data_shape (D,), and "learned" for images and other shapes.

    Example:
        >>> row = LogNormal((1,), scale=1.0)(torch.zeros(1))
        >>> float(row.log_prob(torch.ones(1)))  # that of N(0, 1) at 0
        -0.918...
    """

    support = constraints.positive
    remedy = (
        "zeros need another likelihood: 'normal' of log(1 + x), counts 'negative_binomial'; "
        "negative ones 'normal'"
    )
    start: Tensor
    spread: Tensor
    log_mean: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        scale: Scale = "auto",
    ) -> None:
        noise = Positive(resolved(scale, data_shape), data_shape)
        super().__init__(data_shape, stacked(1 + noise.heads, data_shape))
        self.scale = noise
        self.register_buffer("start", torch.zeros(data_shape))
        self.register_buffer("spread", torch.ones(data_shape))
        self.register_buffer("log_mean", torch.zeros(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        variance = torch.log1p((data.std / data.mean).square())
        spread = torch.where(variance > 0, variance.sqrt(), 1.0)
        self.spread.copy_(spread)
        with torch.no_grad():
            scale = self.scale(self.spread, torch.zeros_like(self.spread))
        self.log_mean.copy_(data.mean.log())
        self.start.copy_(self.log_mean - scale.square() / 2)

    def independent(self) -> Distribution:
        return self._row(self.log_mean - self.spread.square() / 2, self.spread)

    def forward(self, raw: Tensor) -> Distribution:
        loc, *rest = self._outputs(raw)
        scale = self.scale(self.spread, *rest)
        return self._row(self.start + self.spread * loc, scale)

    def _row(self, loc: Tensor, scale: Tensor) -> Distribution:
        return self._as_row(_LogNormal(loc, scale))  # type: ignore[no-untyped-call]

    def pyro_vae_missing_mechanism(self, direction: Direction) -> OfLogNormal:
        return OfLogNormal(self.data_shape, direction)

    def extra_repr(self) -> str:
        return f"x ~ exp(N(loc, scale²)), scale={self.scale.source!r}"


class _LogNormal(dist.LogNormal):
    """The log-normal distribution, whose draws are clamped to the positive finite numbers."""

    def sample(
        self,
        sample_shape: Any = torch.Size(),
        **options: Any,
    ) -> Tensor:
        drawn: Tensor = super().sample(sample_shape, **options)  # type: ignore[no-untyped-call]
        return self._representable(drawn)

    def rsample(
        self,
        sample_shape: Any = torch.Size(),
        **options: Any,
    ) -> Tensor:
        return self._representable(super().rsample(sample_shape, **options))

    def _representable(self, drawn: Tensor) -> Tensor:
        numbers = torch.finfo(drawn.dtype)
        return drawn.clamp(numbers.tiny, numbers.max)
