"""Range, mean and standard deviation of a column, in one walk that stays in the cache."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

BLOCK = 2**15
"""Numbers that are read at a time: 256 kB of float64."""
SAFE = 2.0**300
"""Squares of numbers below this, and above its inverse, are far from the limits of float64."""


@dataclass(frozen=True)
class Moments:
    """What the numbers of a column are like; those of missing cells, nan, don't count.

    Attributes:
        count: how many there are.
        low, high: the smallest and the largest.
        mean, std: nan where some number is infinite.
        whole: whether all of them are whole.
    """

    count: int
    low: float
    high: float
    mean: float
    std: float
    whole: bool

    @property
    def finite(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def largest(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def shifted(self, offset: float) -> "Moments":
        """Those of the numbers minus an offset, but for whether they are whole."""
        return replace(
            self,
            low=self.low - offset,
            high=self.high - offset,
            mean=self.mean - offset,
        )


def moments_of(values: np.ndarray, *, complete: bool = False) -> Moments:
    """The moments of a column, (n,) float64.

    Means and squares of blocks are merged. Numbers that are very large or very small are scaled by
    a power of two, which is exact, so that their squares have no overflow.

    Arguments:
        values: of the column, nan where a cell is missing.
        complete: whether it is known that no number is nan, which saves looking for them.

    References:
        Algorithms for computing the sample variance (Chan, Golub, LeVeque, 1983).

    Example:
        >>> moments_of(np.array([1.0, np.nan, 3.0]))
        Moments(count=2, low=1.0, high=3.0, mean=2.0, std=1.0, whole=True)
        >>> moments_of(np.array([1e300, 3e300])).std
        1e+300
    """
    low, high, whole = math.inf, -math.inf, True
    for part in _blocks(values, complete):
        low = min(low, float(part.min()))
        high = max(high, float(part.max()))
        whole = whole and bool((part == np.floor(part)).all())
    if low > high:
        return Moments(0, math.nan, math.nan, math.nan, math.nan, True)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Moments(len(values), low, high, math.nan, math.nan, whole)
    exponent = _exponent(max(abs(low), abs(high)))
    count, mean, squares = 0, 0.0, 0.0
    for part in _blocks(values, complete):
        numbers = np.ldexp(part, -exponent) if exponent else part
        own = float(numbers.mean())
        deviations = numbers - own
        total = count + len(part)
        delta = own - mean
        squares += float(np.dot(deviations, deviations))
        squares += delta * delta * count * len(part) / total
        mean += delta * len(part) / total
        count = total
    std = math.sqrt(squares / count)
    return Moments(
        count, low, high, math.ldexp(mean, exponent), math.ldexp(std, exponent), whole
    )


def _blocks(values: np.ndarray, complete: bool) -> Iterator[np.ndarray]:
    """The numbers without nan, some at a time."""
    for start in range(0, len(values), BLOCK):
        part = values[start : start + BLOCK]
        if not complete:
            part = part[~np.isnan(part)]
        if len(part):
            yield part


def _exponent(largest: float) -> int:
    """The power of two by which numbers are scaled; 0 for those of a usual size."""
    if 1 / SAFE < largest < SAFE or largest == 0:
        return 0
    return math.frexp(largest)[1]


def side_by_side(
    columns: Sequence[np.ndarray], dtypes: Sequence[np.dtype[Any]]
) -> np.ndarray:
    """Columns as one array of rows, (n, D), of a type that has them all.

    Some rows at a time: numpy.stack writes a whole column with gaps, and each number costs a line
    of the cache.

    Arguments:
        columns: (n,) each.
        dtypes: the type that each column needs.

    Example:
        >>> columns = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
        >>> side_by_side(columns, [np.dtype("f4"), np.dtype("f4")])
        array([[1., 3.],
               [2., 4.]], dtype=float32)
    """
    rows = len(columns[0])
    array = np.empty((rows, len(columns)), np.result_type(*dtypes))
    size = max(1, BLOCK // len(columns))
    for start in range(0, rows, size):
        part = [one[start : start + size] for one in columns]
        array[start : start + size] = np.array(part).T
    return array
