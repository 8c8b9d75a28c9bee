"""The likelihood that suits the rows: its kind, or only its size where the kind is named."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pyro_vae.data.arrays import LARGEST
from pyro_vae.data.sparse import SparseArray

FROM_MAXIMUM = {
    "beta_binomial": "total_count",
    "binomial": "total_count",
    "categorical": "num_classes",
    "ordinal": "num_classes",
}
"""The options that the largest value decides."""

MANY = 10
"""Counts take more values than this; grades, ranks and codes take fewer."""
OVERDISPERSED = 1.5
UNDERDISPERSED = 0.5
"""Limits of variance over mean, which is 1 for Poisson counts."""
BYTES = 255


class Natural(NamedTuple):
    """A likelihood that the rows decide, and why.

    Attributes:
        likelihood: a name, or a table with `kind`.
        why: the reason, as half a sentence.
    """

    likelihood: Any
    why: str


@dataclass
class Facts:
    """What the choice depends on, collected from parts of the rows.

    Attributes:
        low, high: the extremes.
        whole: whether all values are whole numbers.
        values: the different values, as long as they are few and whole.
        count: the number of observed cells of each column; nan is a missing cell.
        total, squares: the sums of each column and of its squares.
    """

    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    values: frozenset[float] = frozenset()
    count: Any = 0
    total: Any = 0.0
    squares: Any = 0.0

    def add(self, part: np.ndarray) -> None:
        numbers = part.reshape(len(part), -1).astype(np.float64)
        observed = ~np.isnan(numbers)
        present = numbers[observed]
        self.low = min(self.low, present.min(initial=np.inf))
        self.high = max(self.high, present.max(initial=-np.inf))
        self.whole = self.whole and bool((present == np.floor(present)).all())
        if self.whole and len(self.values) <= MANY:
            self.values |= frozenset(np.unique(present).tolist())
        self.count = self.count + observed.sum(0)
        self.total = self.total + np.nansum(numbers, 0)
        self.squares = self.squares + np.nansum(np.square(numbers), 0)

    @property
    def dispersion(self) -> float:
        """Variance over mean in the median column."""
        count = np.maximum(self.count, 1)
        mean = self.total / count
        variance = self.squares / count - np.square(mean)
        positive = mean > 0
        if not positive.any():
            return 1.0
        return float(np.median(variance[positive] / mean[positive]))


def facts_of(splits: Sequence[np.ndarray | SparseArray]) -> Facts:
    facts = Facts()
    for part in _parts(splits):
        facts.add(part)
    return facts


def _parts(splits: Sequence[np.ndarray | SparseArray]) -> Iterator[np.ndarray]:
    """A thousand rows at a time, and fewer of wide ones.

    A memory-mapped file is not read as a whole, and a sparse matrix is not dense as a whole.
    """
    for rows in splits:
        count = max(1, min(1000, LARGEST // math.prod(rows.shape[1:])))
        for start in range(0, len(rows), count):
            yield np.asarray(rows[start : start + count])


def natural_likelihood(*splits: np.ndarray | SparseArray) -> Natural:
    """The likelihood where none is named.

    - bernoulli: the values are 0 and 1;
    - negative_binomial: one-dimensional rows of whole numbers of at least 0 with more than 10
      values, whose variance is above their mean;
    - poisson: the same, with a variance about the mean;
    - normal: all others, such as real numbers, grey levels of images and bytes, codes with few
      values, and whole measurements.

    Example:
        >>> natural_likelihood(np.array([[0, 1], [1, 1]])).likelihood
        'bernoulli'
    """
    return natural_of(facts_of(splits), are_images=splits[0].ndim > 2)


def natural_of(facts: Facts, *, are_images: bool = False) -> Natural:
    """`natural_likelihood` from what is known of the rows.

    Arguments:
        facts: collected from all rows.
        are_images: whether rows have more than one dimension.
    """
    if facts.values <= {0.0, 1.0} and facts.whole:
        return Natural("bernoulli", "each value is 0 or 1")
    if not facts.whole or facts.low < 0:
        return Natural("normal", "the values are real numbers")
    span = f"whole numbers from {facts.low:g} to {facts.high:g}"
    if are_images or facts.high == BYTES:
        return Natural("normal", f"{span} are taken for grey levels")
    if len(facts.values) <= MANY:
        return Natural(
            "normal",
            f"{span} with few values; 'binomial', 'categorical', 'ordinal' or 'mixed' may fit "
            "better",
        )
    times = f"{span} whose variance is {facts.dispersion:.2g} times their mean"
    if facts.dispersion > OVERDISPERSED:
        return Natural("negative_binomial", times)
    if facts.dispersion >= UNDERDISPERSED:
        return Natural("poisson", times)
    return Natural("normal", f"{times}, too small for counts")


def sized_likelihood(kind: str, *splits: np.ndarray | SparseArray) -> Natural:
    """A likelihood of a named kind, with the option that the largest value decides.

    Example:
        >>> sized_likelihood("categorical", np.array([[0, 2], [1, 1]]))
        Natural(likelihood={'kind': 'categorical', 'num_classes': 3}, why='the largest value is 2')
    """
    high = facts_of(splits).high
    option = FROM_MAXIMUM[kind]
    size = max(1, int(high))
    if option == "num_classes":  # classes are numbered from 0
        size = max(2, int(high) + 1)
    return Natural({"kind": kind, option: size}, f"the largest value is {high:g}")


def unsized(likelihood: Any) -> str | None:
    """The kind of a likelihood that is named without the option which the data can decide."""
    kind = likelihood
    if isinstance(likelihood, Mapping) and set(likelihood) == {"kind"}:
        kind = likelihood["kind"]
    if isinstance(kind, str) and kind in FROM_MAXIMUM:
        return kind
    return None
