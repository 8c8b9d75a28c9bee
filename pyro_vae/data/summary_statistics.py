"""What modules may know of the training rows before the first step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

ENOUGH = 20
MOST = 1000
"""Rows of the sample from which a median is taken: fewer say too little, and more cost a sort."""
OUTLYING = 10.0
NORMAL = 1.4826
"""The standard deviation of a normal distribution in median absolute deviations, 1 / Φ⁻¹(¾)."""


@dataclass(frozen=True)
class Statistics:
    """What modules may know of the training rows before the first step.

    Numbers of a feature are those of its observed cells; nan stands for a missing one.

    Attributes:
        rows: their number.
        mean, std: per feature, shaped data_shape, in float64; nan without an observed cell.
        sample: the first rows of one random batch, for parts that start from data.
        observed: the number of observed cells per feature; None where none is missing.
        contexts: of the rows of the sample, (k, C); None in a model without a context.
    """

    rows: int
    mean: Tensor
    std: Tensor
    sample: Tensor
    observed: Tensor | None = None
    contexts: Tensor | None = None

    def of_columns(self, columns: Sequence[int]) -> "Statistics":
        """The same of some columns of one-dimensional rows."""
        observed = None if self.observed is None else self.observed[columns]
        return Statistics(
            self.rows,
            self.mean[columns],
            self.std[columns],
            self.sample[..., columns],
            observed,
            self.contexts,
        )

    @cached_property
    def count(self) -> Tensor:
        """The number of observed cells per feature, in float64."""
        if self.observed is None:
            return torch.full_like(self.mean, self.rows, dtype=torch.float64)
        return self.observed

    @cached_property
    def some_observed(self) -> Tensor:
        """A typical observed cell per feature, of the sample; nan where it has none.

        It is the smaller of two medians: a number that the feature has.
        """
        return self.sample[:MOST].nanmedian(0).values

    @cached_property
    def median(self) -> Tensor:
        """Per feature, of at most 1000 rows of the sample; the mean where it has fewer than 20."""
        if len(self.sample) < min(ENOUGH, self.rows):
            return self.mean
        return torch.where(self._are_enough, _median(self._first), self.mean)

    @cached_property
    def robust_std(self) -> Tensor:
        """1.4826 median absolute deviations: the std of a normal column, robust to outliers.

        It is the plain std where it would be 0, because half of the rows are equal, and where there
        are too few rows.

        References:
            The Influence Curve and Its Role in Robust Estimation (Hampel, 1974).

        Example:
            >>> x = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([-9999.0])]).unsqueeze(1)
            >>> columns = statistics([x])
            >>> float(columns.std), float(columns.robust_std)
            (994.8..., 0.75...)
        """
        if len(self.sample) < min(ENOUGH, self.rows):
            return self.std
        deviation = _median((self._first - self.median).abs())
        is_robust = self._are_enough & (deviation > 0)
        return torch.where(is_robust, NORMAL * deviation, self.std.double())

    @cached_property
    def _first(self) -> Tensor:
        return self.sample[:MOST].double()

    @cached_property
    def _are_enough(self) -> Tensor:
        """Whether the sample has 20 observed cells of a feature, or all that there are."""
        in_sample = (~self._first.isnan()).sum(0)
        return in_sample >= self.count.clamp(max=ENOUGH)

    @property
    def outlying(self) -> Tensor:
        """The features whose std is above ten robust stds: a few far values determine it."""
        return self.std > OUTLYING * self.robust_std


def statistics(batches: Iterable[Tensor]) -> Statistics:
    """Mean and standard deviation per feature in one pass, by Chan's update of the sum of squares.

    All is computed relative to the first row, so that a large offset costs no digits. Of a feature
    with missing cells, nan, the observed ones count.

    References:
        Algorithms for computing the sample variance (Chan, Golub, LeVeque, 1983).

    Example:
        >>> statistics([torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0]])]).mean
        tensor([2.], dtype=torch.float64)
        >>> statistics([torch.tensor([[0.0], [float("nan")], [4.0]])]).mean
        tensor([2.], dtype=torch.float64)
    """
    running = RunningStatistics()
    for batch in batches:
        running.add(batch)
    return running.result()


class RunningStatistics:
    """The statistics of batches that pass, one after another.

    Example:
        >>> running = RunningStatistics()
        >>> running.add(torch.tensor([[0.0], [2.0]]))
        >>> running.add(torch.tensor([[4.0]]))
        >>> running.result().mean
        tensor([2.], dtype=torch.float64)
    """

    def __init__(self) -> None:
        self.rows = 0
        self.sample = torch.empty(0)
        self.moments: _Moments | None = None

    def add(self, batch: Tensor) -> None:
        """Take in some rows."""
        if not len(batch):
            return
        if self.moments is None:
            self.moments = _Moments(batch)
            self.sample = batch
        self.moments.add(batch)
        self.rows += len(batch)

    def result(self, sample: Tensor | None = None) -> Statistics:
        """The statistics of all rows.

        Arguments:
            sample: some of them in random order; by default the first batch.
        """
        chosen = self.sample if sample is None else sample
        moments = self.moments
        if moments is None:
            nothing = torch.tensor(0.0)
            return Statistics(0, nothing, nothing, chosen)
        unknown = torch.where(moments.count > 0, 0.0, torch.nan)
        return Statistics(
            self.rows,
            moments.origin + moments.mean + unknown,
            (moments.squares / moments.count).sqrt(),
            chosen,
            moments.count if moments.some_are_missing else None,
        )


class _Moments:
    """Mean and sum of squared deviations of each feature, relative to its first observed cell."""

    def __init__(self, first: Tensor) -> None:
        self.origin = _first_observed(first.double())
        self.count = torch.zeros_like(self.origin)
        self.mean = torch.zeros_like(self.origin)
        self.squares = torch.zeros_like(self.origin)
        self.some_are_missing = False

    def add(self, batch: Tensor) -> None:
        """Take the rows of one more batch."""
        wide = batch.to(torch.float64, copy=True).sub_(self.origin)
        own_count = torch.full_like(self.count, len(batch))
        own_mean = wide.mean(0)
        if own_mean.isnan().any():
            self.some_are_missing = True
            own_count = (~wide.isnan()).sum(0).double()
            own_mean = wide.nansum(0) / own_count.clamp_min(1)
            wide = torch.where(wide.isnan(), own_mean, wide)
        deviations = wide.sub_(own_mean)
        total = self.count + own_count
        share = own_count / total.clamp_min(1)
        delta = own_mean - self.mean
        between = delta.square() * (self.count * own_count / total.clamp_min(1))
        self.squares = self.squares + deviations.square_().sum(0) + between
        self.mean = self.mean + delta * share
        self.count = total


def _first_observed(batch: Tensor) -> Tensor:
    """The first observed cell of each feature, and 0 where a batch has none."""
    row = (~batch.isnan()).int().argmax(0, keepdim=True)
    return batch.gather(0, row).squeeze(0).nan_to_num(nan=0.0)


def _median(values: Tensor) -> Tensor:
    """The median of each feature over its observed cells."""
    if values.isnan().any():
        return values.nanquantile(0.5, 0)
    return values.quantile(0.5, 0)


def farthest(
    batches: Iterable[Tensor], data: Statistics, feature: tuple[int, ...]
) -> tuple[int, float, float]:
    """The row whose feature is farthest from the median, its value, and the distance.

    The distance is in robust stds.

    Example:
        >>> x = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([-9999.0])]).unsqueeze(1)
        >>> farthest([x], statistics([x]), (0,))[:2]
        (99, -9999.0)
    """
    median = float(data.median[feature])
    unit = float(data.robust_std[feature])
    of_feature: tuple[Any, ...] = (slice(None), *feature)
    start = 0
    farthest_so_far = (0, 0.0, -1.0)
    for batch in batches:
        values = batch[of_feature].double()
        # a missing cell is at no distance
        row = int((values - median).abs().nan_to_num(nan=-1.0).argmax())
        value = float(values[row])
        distance = abs(value - median) / unit
        if distance > farthest_so_far[2]:
            farthest_so_far = (start + row, value, distance)
        start += len(batch)
    return farthest_so_far
