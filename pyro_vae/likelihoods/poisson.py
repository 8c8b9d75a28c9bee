"""Counts of independent events."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import counts
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.size_factor import RowSize, SizeFactor
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import factor


@LIKELIHOODS.register("poisson")
class Poisson(Family):
    """p(x | z) = ∏ᵢ exp(-rᵢ) rᵢ^xᵢ / xᵢ! for counts x.

    The rate is r = mean * factor(decoder(z)), times the size factor.

    Arguments:
        data_shape: shape of one row.
        size_factor: what multiplies the rates, and is conditioned on, not modelled: "column", the
            last column of a row; "total", the total of the row itself, given which p(x) then is a
            lower bound.

    Example:
        >>> row = Poisson((1,))(torch.zeros(1))  # rate 1 before it has seen data
        >>> float(row.log_prob(torch.zeros(1)))
        -1.000...
    """

    remedy = (
        "round the counts, or take likelihood 'gamma' (positive numbers) or 'normal'; a size "
        "factor is positive"
    )
    mean: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        size_factor: SizeFactor = "none",
    ) -> None:
        size = RowSize(data_shape, size_factor)
        super().__init__(data_shape, size.features)
        self.size = size
        self.support = size.support
        self.register_buffer("mean", torch.ones(size.features))

    @property
    def modelled_size(self) -> int:
        return math.prod(self.size.features)

    @property
    def missing_together(self) -> dict[str, list[int]]:
        return self.size.missing_together

    def pyro_vae_start(self, data: Statistics) -> None:
        self.mean.copy_(self.size.begin(data)[0])

    def independent(self) -> Distribution:
        return self._row(self.mean)

    def forward(self, raw: Tensor) -> Distribution:
        return self._row(self.mean * factor(raw))

    def _row(self, rate: Tensor) -> Distribution:
        row: Distribution = self.size(lambda size: counts.Poisson(size * rate))
        return row

    def extra_repr(self) -> str:
        return f"x ~ Poisson(rate){self.size.extra_repr()}"
