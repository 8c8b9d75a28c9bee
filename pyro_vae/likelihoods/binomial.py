"""Counts with a known maximum."""

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import counts
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, logit_of_mean
from pyro_vae.networks import Shape


@LIKELIHOODS.register("binomial")
class Binomial(Family):
    """p(x | z) = ∏ᵢ C(nᵢ, xᵢ) σ(lᵢ)^xᵢ (1 - σ(lᵢ))^(nᵢ - xᵢ) for xᵢ in {0, ..., nᵢ}.

    The logits are l = offset + decoder(z); the offset is the log odds of the training means.

    Arguments:
        data_shape: shape of one row.
        total_count: n, the largest value: one for all features, or a list with one for each column
            of rows (D,).

    Raises:
        ValueError: a list of another length, or for rows that are not one-dimensional.

    Example:
        >>> float(Binomial((1,), total_count=2)(torch.zeros(1)).log_prob(torch.ones(1)))  # log ½
        -0.693...
    """

    remedy = "raise total_count to the largest value, or take likelihood 'normal'"
    offset: Tensor
    total: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        total_count: Annotated[
            PositiveInt | tuple[PositiveInt, ...], Field(examples=[16])
        ],
    ) -> None:
        if not isinstance(total_count, int) and (len(total_count),) != data_shape:
            raise ValueError(
                "binomial: expected one total_count, or one for each column of rows (D,), got "
                f"{len(total_count)} for data_shape {data_shape}; list as many as there are columns"
            )
        super().__init__(data_shape, data_shape)
        self.total_count = total_count
        if isinstance(total_count, int):
            self.support = constraints.integer_interval(0, total_count)
        else:
            self.support = _UpTo(total_count)
        total = torch.tensor(total_count, dtype=torch.float32)
        self.register_buffer("total", total, persistent=False)
        self.register_buffer("offset", torch.zeros(data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        total = self.total.to(data.mean)
        self.offset.copy_(logit_of_mean(data.mean / total, data.count * total))

    def independent(self) -> Distribution:
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        logits = self.offset + raw
        return self._as_row(counts.Binomial(self.total, logits))

    def extra_repr(self) -> str:
        return f"x ~ Binomial({self.total_count}, logits)"


class _UpTo(constraints.Constraint):
    """Whole numbers from 0 to a largest one of each column."""

    is_discrete = True

    def __init__(self, largest: tuple[int, ...]) -> None:
        self.largest = largest

    def check(self, value: Tensor) -> Tensor:
        is_whole = value % 1 == 0
        largest = value.new_tensor(self.largest)
        return is_whole & (value >= 0) & (value <= largest)

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.largest))
        return f"{{0, ..., n}} with n = {shown} by column"
