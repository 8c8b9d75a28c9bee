"""Counts that vary more than independent events do."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import Positive, Source, factor, stacked, unstacked
from pyro_vae.likelihoods.size_factor import RowSize, SizeFactor
from pyro_vae.networks import Shape


@LIKELIHOODS.register("negative_binomial")
class NegativeBinomial(Family):
    """p(x | z) = ∏ᵢ Γ(θ + xᵢ) / (Γ(θ) xᵢ!) (θ / (θ + mᵢ))^θ (mᵢ / (θ + mᵢ))^xᵢ for counts x, θ = 1 / dispersion.

    The mean is m = mean * factor(decoder(z)), times the size factor; the variance is m + dispersion m².

    References:
        Deep generative modeling for single-cell transcriptomics (Lopez, Regier, Cole, Jordan, Yosef, 2018).

    Arguments:
        data_shape: shape of one row.
        dispersion: 1 / θ: a number; "learned": one number for all features; "per_feature": one number each;
            "decoder": from z. It starts at (variance - mean) / mean² of the training rows.
        size_factor: "column": the last column of a row multiplies its means, and is conditioned on, not modelled.

    Example:
        >>> row = NegativeBinomial((1,), dispersion=0.5)(torch.zeros(1))
        >>> float(row.mean), float(row.variance)  # 1 + 0.5 * 1²
        (1.0, 1.5)
    """

    remedy = "round the counts, or take likelihood 'gamma' (positive numbers) or 'normal'; a size factor is positive"
    mean: Tensor
    unit: Tensor

    def __init__(
        self, data_shape: Shape, *, dispersion: Source = "per_feature", size_factor: SizeFactor = "none"
    ) -> None:
        size = RowSize(data_shape, size_factor)
        source = Positive(dispersion, size.features)
        super().__init__(data_shape, stacked(1 + source.heads, size.features))
        self.size, self.dispersion, self.support = size, source, size.support
        self.register_buffer("mean", torch.ones(size.features))
        self.register_buffer("unit", torch.ones(size.features))

    def start_from(self, data: Statistics) -> None:
        mean, excess = self.size.begin(data)
        self.mean.copy_(mean)
        self.unit.copy_(excess.clamp(1e-2, 1e2))

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, *rest = unstacked(raw, self.size.features, self.param_shape)
        mean, dispersion = self.mean * factor(raw_mean), self.dispersion(self.unit, *rest)
        row: Distribution = self.size(lambda size: negative_binomial(size * mean, dispersion))
        return row

    def extra_repr(self) -> str:
        return f"x ~ NegativeBinomial(mean, θ), 1 / θ={self.dispersion.source!r}{self.size.extra_repr()}"


def negative_binomial(mean: Tensor, dispersion: Tensor) -> "_NegativeBinomial":
    """Counts with mean m and variance m + dispersion m²."""
    return _NegativeBinomial(1 / dispersion, logits=(mean * dispersion).log())


class _NegativeBinomial(dist.NegativeBinomial):
    """The negative binomial; near the Poisson, where torch is a nat off in float32 at θ = 1e6, it stays exact."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        theta, logits = self.total_count, self.logits
        return log_rising(theta, value) - torch.lgamma(value + 1) - theta * softplus(logits) - value * softplus(-logits)


def log_rising(theta: Tensor, value: Tensor) -> Tensor:
    """log Γ(θ + x) - log Γ(θ), where θ is large by Stirling's series, whose leading terms cancel on paper.

    Example:
        >>> float(log_rising(torch.tensor(1e6), torch.tensor(1.0)).exp())  # Γ(θ + 1) / Γ(θ) = θ
        1000000...
    """
    is_large = theta > 30
    large, small = torch.where(is_large, theta, 30.0), torch.where(is_large, 1.0, theta)
    series = (
        (large - 0.5) * torch.log1p(value / large)
        + value * (torch.log(large + value) - 1)
        + _stirling(large + value)
        - _stirling(large)
    )
    return torch.where(is_large, series, torch.lgamma(small + value) - torch.lgamma(small))


def _stirling(y: Tensor) -> Any:
    """log Γ(y) - ((y - ½) log y - y + ½ log 2π)."""
    return (1 - 1 / (30 * y.square())) / (12 * y)
