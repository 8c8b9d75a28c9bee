"""P(missing | x): how the value of a cell decides whether it is missing."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.parameters import spread
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import factor

Direction = Literal["any", "high", "low"]
PACE = 5.0
"""The unit of the learned numbers: a step of Adam moves each by the learning rate, and a logit has
further to go than a weight of a network."""


def logit_of_share(data: Statistics) -> Tensor:
    """The log odds of a missing cell in each column, with half a cell added to either side.

    Example:
        >>> from pyro_vae.data import statistics
        >>> x = torch.tensor([[1.0], [2.0], [torch.nan], [torch.nan]])
        >>> logit_of_share(statistics([x]))
        tensor([0.], dtype=torch.float64)
    """
    missing = data.rows - data.count
    return torch.log((missing + 0.5) / (data.count + 0.5))


class LinearLogit(nn.Module):
    """logit P(missing | x) = intercept + slope (x - center) / unit, for each column.

    The slope starts at 0 and may have either sign; with the direction "high" it is positive and
    starts at 1, and with "low" it is negative and starts at -1. The intercept starts at the log
    odds of a missing cell.

    Arguments:
        shape: of the columns.
        direction: which values are missing more often.
    """

    start: Tensor
    center: Tensor
    unit: Tensor

    def __init__(self, shape: Shape, direction: Direction) -> None:
        super().__init__()
        self.direction = direction
        self.shift = nn.Parameter(torch.zeros(shape))
        self.raw = nn.Parameter(torch.zeros(shape))
        self.register_buffer("start", torch.zeros(shape))
        self.register_buffer("center", torch.zeros(shape))
        self.register_buffer("unit", torch.ones(shape))

    def begin(self, data: Statistics, center: Tensor, unit: Tensor) -> None:
        """Take the shares of missing cells from the training rows, and the unit of x."""
        self.start.copy_(logit_of_share(data))
        self.center.copy_(center)
        self.unit.copy_(unit)

    @property
    def intercept(self) -> Tensor:
        return self.start + PACE * self.shift

    @property
    def slope(self) -> Tensor:
        if self.direction == "high":
            return factor(PACE * self.raw)
        if self.direction == "low":
            return -factor(PACE * self.raw)
        return PACE * self.raw

    def forward(self, x: Tensor) -> Tensor:
        return self.intercept + self.slope * (x - self.center) / self.unit

    def extra_repr(self) -> str:
        return f"{tuple(self.shift.shape)}, direction={self.direction!r}"


class Line(NamedTuple):
    """What is known of one column: numbers, or one entry for each level of a nominal one.

    Attributes:
        intercept: the logit at the center, or that of each level.
        slope: for one unit; None for levels.
    """

    intercept: Tensor
    slope: Tensor | None


class Mechanism(nn.Module):
    """P(missing | x) of columns that share a likelihood, p(x | z) = ∏ᵢ p(xᵢ | z).

    It is no ABC, since Pyro's `to_pyro_module_` adds a base with a metaclass of its own.
    """

    def begin(self, data: Statistics) -> None:
        """Start from the statistics of the training rows."""
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        """logit P(missing | xᵢ) of each cell, (..., *data_shape)."""
        raise NotImplementedError

    def log_missing(self, p: Any) -> Tensor:
        """log E[P(missing | xᵢ)] over p(xᵢ | z) for each cell, (*batch_shape, *data_shape)."""
        raise NotImplementedError

    def given_missing(self, p: Any) -> Distribution:
        """p(x | z, missing): that of the cells if all of them are missing."""
        raise NotImplementedError

    def start_logits(self) -> Tensor:
        """The log odds of a missing cell in the training rows, (*data_shape)."""
        raise NotImplementedError

    def lines(self) -> list[Line]:
        """What is known of each column of the flattened row."""
        raise NotImplementedError


class Linear(Mechanism):
    """One whose logit is linear in x, or in a function of x."""

    def __init__(self, data_shape: Shape, direction: Direction) -> None:
        super().__init__()
        self.logit = LinearLogit(data_shape, direction)

    def begin(self, data: Statistics) -> None:
        self.logit.begin(data, data.mean, spread(data))

    def logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logit(x)
        return logits

    def start_logits(self) -> Tensor:
        return self.logit.start

    def lines(self) -> list[Line]:
        numbers = (self.logit.intercept.flatten(), self.logit.slope.flatten())
        return [Line(*pair) for pair in zip(*numbers, strict=True)]


class OfShare(Mechanism):
    """P(missing) that doesn't depend on x: the share of missing cells in each column.

    Arguments:
        logits: its log odds, (*data_shape).
    """

    share: Tensor

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("share", logits)

    def begin(self, data: Statistics) -> None:
        self.share.copy_(logit_of_share(data))

    def logits(self, x: Tensor) -> Tensor:
        return self.share.expand(x.shape)

    def log_missing(self, p: Any) -> Tensor:
        return logsigmoid(self.share).expand(*p.batch_shape, *p.event_shape)

    def given_missing(self, p: Any) -> Distribution:
        row: Distribution = p
        return row

    def start_logits(self) -> Tensor:
        return self.share

    def lines(self) -> list[Line]:
        return [Line(one, torch.zeros_like(one)) for one in self.share.flatten()]


class OfGroups(Mechanism):
    """Groups of columns, each with a mechanism of its own, as in the likelihood `mixed`.

    Arguments:
        groups: of each group of columns.
        columns: the columns of each group.
    """

    listed: Tensor
    order: Tensor

    def __init__(
        self, groups: Sequence[Mechanism], columns: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        self.groups = nn.ModuleList(groups)
        self.columns = [list(each) for each in columns]
        listed = torch.tensor([column for each in columns for column in each])
        self.register_buffer("listed", listed, persistent=False)
        self.register_buffer("order", listed.argsort(), persistent=False)

    def begin(self, data: Statistics) -> None:
        for group, columns in self._each(self.columns):
            group.begin(data.of_columns(columns))

    def logits(self, x: Tensor) -> Tensor:
        sizes = [len(columns) for columns in self.columns]
        parts = x.index_select(-1, self.listed).split(sizes, -1)
        return self._row([group.logits(part) for group, part in self._each(parts)])

    def log_missing(self, p: Any) -> Tensor:
        return self._row(
            [group.log_missing(part) for group, part in self._each(p.parts)]
        )

    def given_missing(self, p: Any) -> Distribution:
        parts = [group.given_missing(part) for group, part in self._each(p.parts)]
        row: Distribution = p.of_parts(parts)
        return row

    def start_logits(self) -> Tensor:
        return self._row(
            [group.start_logits() for group, _ in self._each(self.columns)]
        )

    def lines(self) -> list[Line]:
        found = [
            line for group, _ in self._each(self.columns) for line in group.lines()
        ]
        return [found[index] for index in self.order.tolist()]

    def _each(self, values: Any) -> Any:
        return zip(self.groups, values, strict=True)

    def _row(self, groups: list[Tensor]) -> Tensor:
        return torch.cat(groups, -1).index_select(-1, self.order)
