"""Which kind a column is, decided from its cells, and why."""

import re
from typing import NamedTuple

import numpy as np

from pyro_vae.data.columns import CONSTANT, LEFT_OUT
from pyro_vae.data.frames import Cells
from pyro_vae.data.moments import Moments, moments_of
from pyro_vae.data.natural_likelihood import MANY, OVERDISPERSED, UNDERDISPERSED

SKEWED = 1.0
"""Positive numbers with a skewness above this are log-normal, if their logarithms are less skewed.

The skewness of an exponential distribution is 2, that of a normal one 0.
"""
SPREAD = 0.1
"""Numbers with a smaller relative standard deviation are as skewed as their logarithms.

A log-normal distribution with a skewness of 1 has a relative standard deviation of 0.31.
"""
MOST_LEVELS = 1000
"""Text with more different values is free text."""
UNNAMED = re.compile(
    r"(|unnamed: \d+|column 0|rownames?|row_?names?|__index_level_0__)$", re.I
)
IDENTIFIER = re.compile(
    r"(.*[_. -])?(id|ids|uuid|guid|idx|index|identifier|subject)$|.*[a-z]I[Dd]$|.*_I[Dd]$"
    r"|I[Dd]$|Subject$"
)
"""Names of columns that number or name the rows, or what they belong to."""


INFINITE = "has infinite numbers; replace them, or drop their rows"
TWO = 'two whole numbers, taken as normal; take "categorical" if they are codes'
FEW = (
    'few different whole numbers, taken as normal; take "ordinal" for grades, "categorical" for '
    'codes, "poisson" for counts'
)
ONE_VALUE = "one value in all rows"


class Decision(NamedTuple):
    """The kind of a column, and why.

    Attributes:
        kind: the name of a likelihood, "label", "constant" or "left_out".
        why: as half a sentence.
        asks: what the user should decide, because other kinds fit as well; "" for nothing.
    """

    kind: str
    why: str
    asks: str = ""


def is_label(cells: Cells, position: int) -> bool:
    """Whether a column labels the rows: unnamed and unique, 1…n or 0…n-1 in order, unique text.

    Arguments:
        cells: of the column.
        position: of the column in the table; only the first one may be an unnamed label.

    Example:
        >>> numbers = np.arange(1.0, 4.0)
        >>> is_label(Cells("x", "int64", "number", numbers, np.isnan(numbers)), 3)
        True
    """
    rows = len(cells.values)
    if rows < 2 or cells.missing.any():
        return False
    if cells.form == "category":
        return cells.levels is not None and _distinct(cells) == rows
    if cells.form != "number":
        return False
    first = cells.values[0]
    starts_so = first in (0, 1) and np.array_equal(
        cells.values[:3], np.arange(3) + first
    )
    if starts_so and np.array_equal(cells.values, np.arange(rows) + first):
        return True
    is_named_so = UNNAMED.match(cells.name.strip()) and position == 0
    if is_named_so or _is_identifier(cells):
        return _is_whole(cells.values) and _distinct(cells) == rows
    return False


def decide(cells: Cells) -> Decision:
    """The kind that suits a column which is no label.

    - bernoulli: truth values, or numbers 0 and 1;
    - ordinal: categories with an order;
    - categorical: categories and text;
    - negative_binomial, poisson: whole numbers of at least 0 with more than 10 values, by the
      ratio of variance to mean; those whose smallest value is above their range, such as years,
      are measurements and no counts;
    - log_normal: positive numbers with a skewness above 1 whose logarithms are less skewed;
    - normal: other numbers, times and durations;
    - constant: a column with one value; left_out: identifiers, free text, no values.

    Example:
        >>> flags = np.array([0.0, 1.0, 1.0])
        >>> decide(Cells("alive", "bool", "truth", flags, np.isnan(flags))).kind
        'bernoulli'
    """
    present = cells.values
    if cells.missing.any():
        present = present[~cells.missing]
    if len(present) == 0:
        return Decision(LEFT_OUT, "no cell has a value")
    if cells.distinct is not None and cells.distinct > len(np.unique(present)):
        why = "whole numbers beyond 2^53, of which double precision makes some equal"
        return Decision(LEFT_OUT, why, asks=f"{why}; left out")
    if (present[:2] == present[0]).all() and (present == present[0]).all():
        why = "one value where it isn't missing" if cells.missing.any() else ONE_VALUE
        return Decision(CONSTANT, why)
    if cells.form == "truth":
        return Decision("bernoulli", "truth values")
    if cells.form in {"time", "duration"}:
        return Decision("normal", "times as numbers")
    is_id = cells.name.strip().lower() == "id"  # also with parts, such as 3.2
    if is_id or (_is_identifier(cells) and _is_whole(present)):
        asks = "left out as an identifier; give a kind to model it"
        return Decision(LEFT_OUT, "named as an identifier", asks)
    if cells.form == "category":
        return _category(cells)
    return _number(present, cells.moments)


def _category(cells: Cells) -> Decision:
    levels = cells.levels or ()
    if cells.ordered:
        return Decision("ordinal", f"{len(levels)} ordered categories")
    rows = len(cells.values)
    distinct = _distinct(cells)
    if cells.was_declared:
        return Decision("categorical", f"{len(levels)} categories")
    if distinct > MOST_LEVELS or 2 * distinct > max(rows, 20):
        why = f"text with {distinct} values in {rows} rows"
        asks = 'text with many values is left out; take "categorical" to model it'
        return Decision(LEFT_OUT, why, asks)
    return Decision("categorical", f"text with {len(levels)} values")


def _number(present: np.ndarray, moments: Moments) -> Decision:
    """The kind of numbers that are not all equal."""
    if not moments.finite:
        return Decision("normal", "numbers, some of them infinite", INFINITE)
    if moments.whole and moments.low >= 0:
        return _whole(present, moments)
    if moments.low > 0 and _is_skewed(present, moments):
        return Decision("log_normal", "positive and skewed")
    return Decision("normal", "real numbers")


def _whole(present: np.ndarray, moments: Moments) -> Decision:
    """The kind of whole numbers of at least 0."""
    if moments.high == 1:
        return Decision("bernoulli", "each value is 0 or 1")
    if _has_few(present):
        return _few(np.unique(present))
    dispersion = moments.std**2 / moments.mean
    times = f"variance {_rounded(dispersion)} times the mean"
    if dispersion > OVERDISPERSED:
        if moments.low > moments.high - moments.low:
            return Decision("normal", "whole numbers far from 0, such as years")
        return Decision("negative_binomial", f"counts, {times}")
    if dispersion >= UNDERDISPERSED:
        return Decision("poisson", f"counts, {times}")
    return Decision("normal", f"whole numbers, {times}: too small for counts")


def _few(values: np.ndarray) -> Decision:
    """Few whole numbers may be anything, and are never taken for categories in silence."""
    if len(values) == 2:
        return Decision("normal", "two whole numbers", TWO)
    return Decision("normal", f"{len(values)} different whole numbers", FEW)


def _rounded(ratio: float) -> str:
    """Two digits, and no power of ten."""
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"


def _has_few(present: np.ndarray) -> bool:
    """Whether there are few different values; the first thousand decide for most columns."""
    if len(np.unique(present[:1000])) > MANY:
        return False
    return len(np.unique(present)) <= MANY


def _is_whole(present: np.ndarray) -> bool:
    return bool((present == np.floor(present)).all())


def _is_skewed(positive: np.ndarray, moments: Moments) -> bool:
    if moments.std < SPREAD * moments.mean:
        return False
    skewness = _skewness(positive, moments)
    if skewness <= SKEWED:
        return False
    logarithms = np.log(positive)
    return abs(_skewness(logarithms, moments_of(logarithms))) < skewness


def _skewness(values: np.ndarray, moments: Moments) -> float:
    """The third standardised moment, E[((x - m) / s)³]."""
    if moments.std == 0:
        return 0.0
    deviations = (values - moments.mean) / moments.std
    return float(np.dot(deviations * deviations, deviations)) / len(values)


def _distinct(cells: Cells) -> int:
    if cells.distinct is not None:
        return cells.distinct
    return len(np.unique(cells.values[~cells.missing]))


def _is_identifier(cells: Cells) -> bool:
    return bool(IDENTIFIER.match(cells.name.strip()))
