"""Counts that vary more than independent events do."""

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


@LIKELIHOODS.register("negative_binomial")
class NegativeBinomial(Family):
    """p(x | z) = ∏ᵢ Γ(θ + xᵢ) / (Γ(θ) xᵢ!) (θ / (θ + mᵢ))^θ (mᵢ / (θ + mᵢ))^xᵢ for counts x.

    θ = 1 / dispersion. The mean is m = mean * factor(decoder(z)), times the size factor; the
    variance is m + dispersion m².

    References:
        Deep generative modeling for single-cell transcriptomics (Lopez, Regier, Cole, Jordan,
        Yosef, 2018).

    Arguments:
        data_shape: shape of one row.
        dispersion: 1 / θ: a number; "learned": one number for all features; "per_feature": one
            number each; "decoder": from z. It starts at (variance - mean) / mean² of the training
            rows.
        size_factor: what multiplies the means, and is conditioned on, not modelled: "column", the
            last column of a row; "total", the total of the row itself, given which p(x) then is a
            lower bound.

    Example:
        >>> row = NegativeBinomial((1,), dispersion=0.5)(torch.zeros(1))
        >>> float(row.mean), float(row.variance)  # 1 + 0.5 * 1²
        (1.0, 1.5)
    """

    remedy = (
        "round the counts, or take likelihood 'gamma' (positive numbers) or 'normal'; a size "
        "factor is positive"
    )
    mean: Tensor
    unit: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        dispersion: Source = "per_feature",
        size_factor: SizeFactor = "none",
    ) -> None:
        size = RowSize(data_shape, size_factor)
        source = Positive(dispersion, size.features)
        super().__init__(data_shape, stacked(1 + source.heads, size.features))
        self.size = size
        self.dispersion = source
        self.support = size.support
        self.register_buffer("mean", torch.ones(size.features))
        self.register_buffer("unit", torch.ones(size.features))

    @property
    def modelled_size(self) -> int:
        return math.prod(self.size.features)

    @property
    def missing_together(self) -> dict[str, list[int]]:
        return self.size.missing_together

    def pyro_vae_start(self, data: Statistics) -> None:
        mean, excess = self.size.begin(data)
        self.mean.copy_(mean)
        self.unit.copy_(excess.clamp(1e-2, 1e2))

    def independent(self) -> Distribution:
        return self._row(self.mean, self.unit)

    def forward(self, raw: Tensor) -> Distribution:
        raw_mean, *rest = self._outputs(raw, self.size.features)
        mean = self.mean * factor(raw_mean)
        dispersion = self.dispersion(self.unit, *rest)
        return self._row(mean, dispersion)

    def _row(self, mean: Tensor, dispersion: Tensor) -> Distribution:
        row: Distribution = self.size(
            lambda size: counts.NegativeBinomial(size * mean, dispersion)
        )
        return row

    def extra_repr(self) -> str:
        options = f"1 / θ={self.dispersion.source!r}{self.size.extra_repr()}"
        return f"x ~ NegativeBinomial(mean, θ), {options}"
