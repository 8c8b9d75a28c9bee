"""Counts of rows that were observed for longer, or read more often, than others."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.networks import Shape

SizeFactor = Literal["none", "column"]


class RowSize(nn.Module):
    """What multiplies the means of the counts in a row: nothing, or its last column, a size s.

    A family with size_factor "column" is p(x₁, ..., x_D | z, s) for rows (x₁, ..., x_D, s): s is
    conditioned on, not modelled, so log p(x) is the log probability of the D counts given s. It
    comes with the data (a library size, an exposure). The sum of the modelled counts themselves is
    no such column: given their sum, counts are multinomial. Draws and means take the mean s of the
    training rows, and given(p, x) that of each row.

    Arguments:
        data_shape: shape of one row, with its size factor.
        size_factor: "none" or "column".

    Raises:
        ValueError: rows that have no last column beside a count.

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
        self.features = data_shape
        self.support: constraints.Constraint = constraints.nonnegative_integer
        if self.is_column:
            self.features = _without_size(data_shape)
            self.support = counts_and_size
        self.register_buffer("typical", torch.ones(()))

    @property
    def missing_together(self) -> dict[str, list[int]]:
        """The counts with their size factor, without which they have no density."""
        if not self.is_column:
            return {}
        (counts,) = self.features
        return {"the counts and their size factor": list(range(counts + 1))}

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
        self.typical.copy_(size)
        mean = torch.where(mean > 0, mean, 0.5 / (count + 1))
        excess_dispersion = (std.square() - mean) / mean.square()
        return mean / size, excess_dispersion

    def forward(self, counts: Callable[[Tensor], Any]) -> Distribution:
        """The distribution over rows, from that of the counts for a size that multiplies means."""
        if self.is_column:
            return SizedCounts(counts, self.typical)
        row: Distribution = counts(self.typical).to_event(len(self.features))
        return row

    def extra_repr(self) -> str:
        return ", times the last column" if self.is_column else ""


def _without_size(data_shape: Shape) -> Shape:
    if len(data_shape) != 1 or data_shape[0] < 2:
        raise ValueError(
            "size_factor: 'column' is the last of the columns of a row, so it expects "
            f"data_shape (D + 1,) for D counts, got {data_shape}; flatten the rows and append the "
            "size factor, or take 'none'"
        )
    return (data_shape[0] - 1,)


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
