"""Counts of rows that were observed for longer, or read more often, than others."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.networks import Shape

SizeFactor = Literal["none", "column", "total"]
SMALLEST = 1e-20
"""The size of a row without counts: zeros then have probability 1, and all rates a logarithm."""


class RowSize(nn.Module):
    """What multiplies the means of the counts in a row: nothing, its last column, or its total.

    A family with size_factor "column" is p(x₁, ..., x_D | z, s) for rows (x₁, ..., x_D, s): s is
    conditioned on, not modelled, so log p(x) is the log probability of the D counts given s. It
    comes with the data (a library size, an exposure).

    With "total" it is the same p(x₁, ..., x_D | z, s) at s = Σᵢ xᵢ, the total of the row itself
    (an observed library size). Over all x with the total n it adds up to

        Σ_{x: Σᵢ xᵢ = n} p(x | s = n) = P(Σᵢ xᵢ = n | s = n) ≤ 1

    since the model of size n gives other totals too. So p(x) is a lower bound on the probability of
    x given its total, p(x | s = n) / P(Σᵢ xᵢ = n | s = n): it is never too large, and may be
    compared with that of a multinomial, which has no other total. A row without counts has
    probability 1, as there.

    Draws and means take the mean s of the training rows, and given(p, x) that of each row. Draws
    have a total around s, not s itself.

    Arguments:
        data_shape: shape of one row, with its size factor where that is a column.
        size_factor: "none", "column" or "total".

    Raises:
        ValueError: "column" with rows that have no last column beside a count; "total" with rows of
            one count.

    References:
        Deep generative modeling for single-cell transcriptomics (Lopez, Regier, Cole, Jordan,
        Yosef, 2018), for library sizes.

    Attributes:
        features: shape of the counts in a row.
        support: the values a row may take.
    """

    typical: Tensor

    def __init__(
        self,
        data_shape: Shape,
        size_factor: SizeFactor,
    ) -> None:
        super().__init__()
        self.is_column = size_factor == "column"
        self.is_total = size_factor == "total"
        self.features = data_shape
        self.support: constraints.Constraint = constraints.nonnegative_integer
        if self.is_column:
            self.features = _without_size(data_shape)
            self.support = counts_and_size
        if self.is_total:
            _require_several(data_shape)
        self.register_buffer("typical", torch.ones(()))

    @property
    def missing_together(self) -> dict[str, list[int]]:
        """The counts with what their density takes from the row: their size factor or total."""
        counts = math.prod(self.features)
        if self.is_column:
            return {"the counts and their size factor": list(range(counts + 1))}
        if self.is_total:
            return {"the counts of a total": list(range(counts))}
        return {}

    def begin(self, data: Statistics) -> tuple[Tensor, Tensor]:
        """The mean count of each feature in a row of size 1, and (variance - mean) / mean²."""
        mean = data.mean
        std = data.std
        count = data.count
        size = torch.ones(())
        if self.is_column:
            size = mean[-1]
            mean = mean[:-1]
            std = std[:-1]
            count = count[:-1]
        mean = torch.where(mean > 0, mean, 0.5 / (count + 1))
        if self.is_total:
            size = mean.sum()
        self.typical.copy_(size)
        excess_dispersion = (std.square() - mean) / mean.square()
        return mean / size, excess_dispersion

    def forward(self, counts: Callable[[Tensor], Any]) -> Distribution:
        """The distribution over rows, from that of the counts for a size that multiplies means."""
        if self.is_column:
            return SizedCounts(counts, self.typical)
        if self.is_total:
            return TotalCounts(counts, self.typical, self.features)
        row: Distribution = counts(self.typical).to_event(len(self.features))
        return row

    def extra_repr(self) -> str:
        if self.is_total:
            return ", times the total of the row"
        return ", times the last column" if self.is_column else ""


def _without_size(data_shape: Shape) -> Shape:
    if len(data_shape) != 1 or data_shape[0] < 2:
        raise ValueError(
            "size_factor: 'column' is the last of the columns of a row, so it expects "
            f"data_shape (D + 1,) for D counts, got {data_shape}; flatten the rows and append the "
            "size factor, or take 'none'"
        )
    return (data_shape[0] - 1,)


def _require_several(data_shape: Shape) -> None:
    if math.prod(data_shape) < 2:
        raise ValueError(
            "size_factor: 'total' is the sum of the counts of a row, so it expects at least 2 of "
            f"them, got data_shape {data_shape}; take 'none', or 'column' with a size of your own"
        )


class _CountsAndSize(constraints.Constraint):
    """Counts, and a positive number in the last column."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        counts = constraints.nonnegative_integer.check(value[..., :-1])
        size = value[..., -1:] > 0
        return torch.cat([counts, size], -1)

    def __repr__(self) -> str:
        return "of counts, with a positive size factor in the last column"


counts_and_size = _CountsAndSize()


def total_of(rows: Tensor, dims: int) -> Tensor:
    """The total of each row, (..., *ones), which is next to 0 where a row is empty.

    Arguments:
        rows: shaped (..., *data_shape).
        dims: dimensions of a row.

    Example:
        >>> total_of(torch.tensor([[1.0, 2.0], [0.0, 5.0]]), 1)
        tensor([[3.],
                [5.]])
    """
    return rows.sum(tuple(range(-dims, 0)), keepdim=True).clamp(min=SMALLEST)


class SizedCounts(TorchDistribution):
    """p(x₁, ..., x_D | s) as a distribution over rows (x₁, ..., x_D, s).

    Draws have s = typical, shaped () or (n, 1).
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.independent(counts_and_size, 1)

    def __init__(
        self,
        counts: Callable[[Tensor], Any],
        typical: Tensor,
    ) -> None:
        self.counts = counts
        self.typical = typical
        self.row = counts(typical).to_event(1)
        (features,) = self.row.event_shape
        super().__init__(self.row.batch_shape, torch.Size([features + 1]))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        counts = value[..., :-1]
        size = value[..., -1:]
        row = self.counts(size).to_event(1)
        density: Tensor = row.log_prob(counts)
        return density

    def pyro_vae_given(self, value: Tensor) -> "SizedCounts":
        """The same distribution; its draws and means have the sizes of the rows `value`."""
        return SizedCounts(self.counts, value[..., -1:])

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._with_size(self.row.sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        return self._with_size(self.row.mean)

    @property
    def variance(self) -> Tensor:
        variance = self.row.variance
        of_size = torch.zeros_like(variance[..., :1])
        return torch.cat([variance, of_size], -1)

    def _with_size(self, counts: Tensor) -> Tensor:
        size = self.typical.expand_as(counts[..., :1])
        return torch.cat([counts, size], -1)


class TotalCounts(TorchDistribution):
    """p(x | s) with s = Σᵢ xᵢ, the total of the row itself.

    Over the rows with one total it adds up to less than 1, see `RowSize`. Draws have s = typical.

    Arguments:
        counts: the distribution of the counts for a size.
        typical: the size of draws and means, () or (n, *ones).
        features: shape of a row.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self,
        counts: Callable[[Tensor], Any],
        typical: Tensor,
        features: Shape,
    ) -> None:
        self.counts = counts
        self.features = features
        self.dims = len(features)
        self.row = counts(typical).to_event(self.dims)
        super().__init__(self.row.batch_shape, self.row.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.nonnegative_integer, self.dims)

    def of_size(self, value: Tensor) -> Any:
        """The distribution of each count for the totals of the rows `value`."""
        return self.counts(total_of(value, self.dims))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        density: Tensor = self.of_size(value).to_event(self.dims).log_prob(value)
        return density

    def pyro_vae_given(self, value: Tensor) -> "TotalCounts":
        """The same distribution; its draws and means have the totals of the rows `value`."""
        return TotalCounts(self.counts, total_of(value, self.dims), self.features)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        drawn: Tensor = self.row.sample(sample_shape)
        return drawn

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.row.mean
        return mean

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.row.variance
        return variance
