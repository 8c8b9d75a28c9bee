"""What modules may know of the training rows before the first step."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

ENOUGH, MOST = 20, 1000
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
        """Per feature, of at most 1000 random rows: those of the sample; the mean where there are
        fewer than 20.
        """
        if len(self.sample) < min(ENOUGH, self.rows):
            return self.mean
        return self.sample[:MOST].double().quantile(0.5, 0)

    @cached_property
    def robust_std(self) -> Tensor:
        """1.4826 median absolute deviations from the median, the std of a normal column, which
        outliers hardly move.

        It is the std where it would be 0: where half of the rows are equal, or where there are too
        few rows.

        References:
            The Influence Curve and Its Role in Robust Estimation (Hampel, 1974).

        Example:
            >>> x = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([-9999.0])]).unsqueeze(1)
            >>> found = statistics([x])
            >>> float(found.std), float(found.robust_std)
            (994.8..., 0.75...)
        """
        if len(self.sample) < min(ENOUGH, self.rows):
            return self.std
        deviation = (self.sample[:MOST].double() - self.median).abs().quantile(0.5, 0)
        return torch.where(deviation > 0, NORMAL * deviation, self.std.double())

    @property
    def outlying(self) -> Tensor:
        """The features whose std is ten times that of most rows: few cells, far away, make their
        mean and their std.
        """
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
    rows, mean, squares, sample = 0, torch.tensor(0.0), torch.tensor(0.0), torch.empty(0)
    origin = torch.tensor(0.0)
    for batch in batches:
        origin = origin if rows else batch[0].double()
        wide = batch.to(torch.float64, copy=True).sub_(origin)
        delta = wide.mean(0) - mean
        total = rows + len(batch)
        own = wide.sub_(wide.mean(0)).square_().sum(0)
        squares = squares + own + delta.square() * (rows * len(batch) / total)
        mean = mean + delta * (len(batch) / total)
        rows, sample = total, sample if rows else batch
    return Statistics(rows, origin + mean, (squares / max(rows, 1)).sqrt(), sample)


def farthest(
    batches: Iterable[Tensor], data: Statistics, feature: tuple[int, ...]
) -> tuple[int, float, float]:
    """The row whose value of a feature is farthest from the median, the value, and its distance in
    robust stds.

    Example:
        >>> x = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([-9999.0])]).unsqueeze(1)
        >>> farthest([x], statistics([x]), (0,))[:2]
        (99, -9999.0)
    """
    start, found = 0, (0, 0.0, -1.0)
    median, unit = (float(part[feature]) for part in (data.median, data.robust_std))
    for batch in batches:
        values = batch.double()
        for index in feature:
            values = values[:, index]
        row = int((values - median).abs().argmax())
        distance = abs(float(values[row]) - median) / unit
        if distance > found[2]:
            found = start + row, float(values[row]), distance
        start += len(batch)
    return found
