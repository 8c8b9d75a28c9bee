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
    """What multiplies the means of a row's counts: nothing, or the row's last column, its size
    factor s.

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

    def __init__(self, data_shape: Shape, size_factor: SizeFactor) -> None:
        super().__init__()
        self.is_column = size_factor == "column"
        if self.is_column and (len(data_shape) != 1 or data_shape[0] < 2):
            raise ValueError(
                "size_factor: 'column' is the last of the columns of a row, so it expects "
                "data_shape (D + 1,) for D "
                f"counts, got {data_shape}; flatten the rows and append the size factor, or take "
                "'none'"
            )
        self.features = (data_shape[0] - 1,) if self.is_column else data_shape
        self.support = counts_and_size if self.is_column else constraints.nonnegative_integer
        self.register_buffer("typical", torch.ones(()))

    def begin(self, data: Statistics) -> tuple[Tensor, Tensor]:
        """The mean count of each feature in a row of size 1, and its excess dispersion (variance -
        mean) / mean².
        """
        size = data.mean[-1] if self.is_column else torch.ones(())
        self.typical.copy_(size)
        mean, std = (part[:-1] if self.is_column else part for part in (data.mean, data.std))
        mean = torch.where(mean > 0, mean, 0.5 / (data.rows + 1))
        return mean / size, (std.square() - mean) / mean.square()

    def forward(self, counts: Callable[[Tensor], Any]) -> Distribution:
        """The distribution over rows; `counts` gives that of each count, for a size that multiplies
        the means.
        """
        if self.is_column:
            return _Sized(counts, self.typical)
        row: Distribution = counts(self.typical).to_event(len(self.features))
        return row

    def extra_repr(self) -> str:
        return ", times the last column" if self.is_column else ""


class _CountsAndSize(constraints.Constraint):
    """Counts, and a positive number in the last column."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        counts, size = value[..., :-1], value[..., -1:]
        return torch.cat([constraints.nonnegative_integer.check(counts), size > 0], -1)

    def __repr__(self) -> str:
        return "of counts, with a positive size factor in the last column"


counts_and_size = _CountsAndSize()


class _Sized(TorchDistribution):
    """p(x₁, ..., x_D | s) as a distribution over rows (x₁, ..., x_D, s), whose draws have s =
    typical, () or (n, 1).
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.independent(counts_and_size, 1)

    def __init__(self, counts: Callable[[Tensor], Any], typical: Tensor) -> None:
        self.counts, self.typical = counts, typical
        self.row = counts(typical).to_event(1)
        super().__init__(self.row.batch_shape, torch.Size([self.row.event_shape[0] + 1]))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        given: Tensor = self.counts(value[..., -1:]).to_event(1).log_prob(value[..., :-1])
        return given

    def given(self, value: Tensor) -> "_Sized":
        """The same, whose draws and means have the sizes of the rows `value`."""
        return _Sized(self.counts, value[..., -1:])

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._with_size(self.row.sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        return self._with_size(self.row.mean)

    @property
    def variance(self) -> Tensor:
        return torch.cat([self.row.variance, torch.zeros_like(self.row.variance[..., :1])], -1)

    def _with_size(self, counts: Tensor) -> Tensor:
        return torch.cat([counts, self.typical.expand_as(counts[..., :1])], -1)
