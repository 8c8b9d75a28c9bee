"""What modules may know of the training rows before the first step."""

from collections.abc import Iterable
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

    Attributes:
        rows: their number.
        mean, std: per feature, shaped data_shape, in float64.
        sample: the first rows of one random batch, for parts that start from data.
    """

    rows: int
    mean: Tensor
    std: Tensor
    sample: Tensor

    @cached_property
    def median(self) -> Tensor:
        """Per feature, of at most 1000 rows of the sample; the mean where it has fewer than 20."""
        if len(self.sample) < min(ENOUGH, self.rows):
            return self.mean
        return self.sample[:MOST].double().quantile(0.5, 0)

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
        deviation = (self.sample[:MOST].double() - self.median).abs().quantile(0.5, 0)
        return torch.where(deviation > 0, NORMAL * deviation, self.std.double())

    @property
    def outlying(self) -> Tensor:
        """The features whose std is above ten robust stds: a few far values determine it."""
        return self.std > OUTLYING * self.robust_std


def statistics(batches: Iterable[Tensor]) -> Statistics:
    """Mean and standard deviation per feature in one pass, by Chan's update of the sum of squares.

    All is computed relative to the first row, so that a large offset costs no digits.

    References:
        Algorithms for computing the sample variance (Chan, Golub, LeVeque, 1983).

    Example:
        >>> statistics([torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0]])]).mean
        tensor([2.], dtype=torch.float64)
    """
    rows = 0
    origin = torch.tensor(0.0)
    mean = torch.tensor(0.0)
    squares = torch.tensor(0.0)
    sample = torch.empty(0)
    for batch in batches:
        if rows == 0:
            origin = batch[0].double()
            sample = batch
        wide = batch.to(torch.float64, copy=True).sub_(origin)
        delta = wide.mean(0) - mean
        total = rows + len(batch)
        own = wide.sub_(wide.mean(0)).square_().sum(0)
        squares = squares + own + delta.square() * (rows * len(batch) / total)
        mean = mean + delta * (len(batch) / total)
        rows = total
    std = (squares / max(rows, 1)).sqrt()
    return Statistics(rows, origin + mean, std, sample)


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
        row = int((values - median).abs().argmax())
        value = float(values[row])
        distance = abs(value - median) / unit
        if distance > farthest_so_far[2]:
            farthest_so_far = (start + row, value, distance)
        start += len(batch)
    return farthest_so_far
