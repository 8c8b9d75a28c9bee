"""Counts with more zeros than the counts alone explain."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import counts
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.parameters import stacked
from pyro_vae.likelihoods.size_factor import RowSize, SizeFactor
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Positive, Source, factor


@LIKELIHOODS.register("zero_inflated_poisson")
class ZeroInflatedPoisson(Family):
    """p(x | z) = ∏ᵢ πᵢ [xᵢ = 0] + (1 - πᵢ) Poisson(xᵢ | rᵢ) for counts x.

    π = σ(offset + decoder(z)), and r = rate * factor(decoder(z)), times the size factor. Rate and
    offset start at the moments of the training rows: r (1 - π) is their mean, and π / (1 - π) is
    (variance - mean) / mean².

    References:
        Zero-Inflated Poisson Regression, with an Application to Defects in Manufacturing (Lambert,
        1992).

    Arguments:
        data_shape: shape of one row.
        size_factor: what multiplies the rates, and is conditioned on, not modelled: "column", the
            last column of a row; "total", the total of the row itself, given which p(x) then is a
            lower bound.

    Example:
        >>> row = ZeroInflatedPoisson((1,))(torch.zeros(2, 1))  # half of rate 1, before any data
        >>> float(row.mean)
        0.5
    """

    remedy = "round the counts, or take likelihood 'normal'; a size factor is positive"
    rate: Tensor
    offset: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        size_factor: SizeFactor = "none",
    ) -> None:
        size = RowSize(data_shape, size_factor)
        super().__init__(data_shape, stacked(2, size.features))
        self.size = size
        self.support = size.support
        self.register_buffer("rate", torch.ones(size.features))
        self.register_buffer("offset", torch.zeros(size.features))

    @property
    def modelled_size(self) -> int:
        return math.prod(self.size.features)

    @property
    def missing_together(self) -> dict[str, list[int]]:
        return self.size.missing_together

    def pyro_vae_start(self, data: Statistics) -> None:
        mean, excess = self.size.begin(data)
        odds = excess.clamp(1e-2, 1e2)
        self.rate.copy_(mean * (1 + odds))
        self.offset.copy_(odds.log())

    def independent(self) -> Distribution:
        return self._row(self.rate, self.offset)

    def forward(self, raw: Tensor) -> Distribution:
        raw_rate, gate = self._outputs(raw, self.size.features)
        return self._row(self.rate * factor(raw_rate), self.offset + gate)

    def _row(self, rate: Tensor, gate_logits: Tensor) -> Distribution:
        row: Distribution = self.size(
            lambda size: counts.ZeroInflated(counts.Poisson(size * rate), gate_logits)
        )
        return row

    def extra_repr(self) -> str:
        return f"x ~ π δ₀ + (1 - π) Poisson(rate){self.size.extra_repr()}"


@LIKELIHOODS.register("zero_inflated_negative_binomial")
class ZeroInflatedNegativeBinomial(Family):
    """p(x | z) = ∏ᵢ πᵢ [xᵢ = 0] + (1 - πᵢ) NegativeBinomial(xᵢ | mᵢ, θ) for counts x.

    π = σ(offset + decoder(z)). Mean and dispersion 1 / θ are those of the counts that are not set
    to zero, as in `negative_binomial`. π starts at 1 / 11, mean and dispersion at what then gives
    the moments of the training rows.

    References:
        Deep generative modeling for single-cell transcriptomics (Lopez, Regier, Cole, Jordan,
        Yosef, 2018).

    Arguments:
        data_shape: shape of one row.
        dispersion: 1 / θ: a number; "learned": one number for all features; "per_feature": one
            number each; "decoder": from z.
        size_factor: what multiplies the means, and is conditioned on, not modelled: "column", the
            last column of a row; "total", the total of the row itself, given which p(x) then is a
            lower bound.

    Example:
        >>> ZeroInflatedNegativeBinomial((3,))(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])
    """

    remedy = "round the counts, or take likelihood 'normal'; a size factor is positive"
    mean: Tensor
    unit: Tensor
    offset: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        dispersion: Source = "per_feature",
        size_factor: SizeFactor = "none",
    ) -> None:
        size = RowSize(data_shape, size_factor)
        source = Positive(dispersion, size.features)
        super().__init__(data_shape, stacked(2 + source.heads, size.features))
        self.size = size
        self.dispersion = source
        self.support = size.support
        for name in ("mean", "unit"):
            self.register_buffer(name, torch.ones(size.features))
        self.register_buffer("offset", torch.full(size.features, 0.1).log())

    @property
    def modelled_size(self) -> int:
        return math.prod(self.size.features)

    @property
    def missing_together(self) -> dict[str, list[int]]:
        return self.size.missing_together

    def pyro_vae_start(self, data: Statistics) -> None:
        mean, excess = self.size.begin(data)
        odds = self.offset.exp()
        dispersion = (excess - odds) / (1 + odds)
        self.mean.copy_(mean * (1 + odds))
        self.unit.copy_(dispersion.clamp(1e-2, 1e2))

    def independent(self) -> Distribution:
        return self._row(self.mean, self.unit, self.offset)

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, gate, *rest = self._outputs(raw, self.size.features)
        mean = self.mean * factor(raw_mean)
        dispersion = self.dispersion(self.unit, *rest)
        return self._row(mean, dispersion, self.offset + gate)

    def _row(
        self,
        mean: Tensor,
        dispersion: Tensor,
        gate_logits: Tensor,
    ) -> Distribution:
        row: Distribution = self.size(
            lambda size: counts.ZeroInflated(
                counts.NegativeBinomial(size * mean, dispersion), gate_logits
            )
        )
        return row

    def extra_repr(self) -> str:
        options = f"1 / θ={self.dispersion.source!r}{self.size.extra_repr()}"
        return f"x ~ π δ₀ + (1 - π) NegativeBinomial(mean, θ), {options}"
