"""How well hidden cells are found: coverage of intervals, errors beside simple methods."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.imputation.cells import LEVELS, MEDIAN, Cells
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.data.normal_em import fit_normal

INTERVALS = {50: (0.25, 0.75), 80: (0.10, 0.90), 90: (0.05, 0.95)}
"""The central intervals in percent, and the probabilities of their ends."""
ITERATIONS = 200
WIDEST = 200
"""Columns of numbers: EM for one normal takes the cube of them, for each row."""
RIDGE = 1.0
"""Rows with independent columns in the fit of one normal: it needs them where rows are few."""


@dataclass(frozen=True, repr=False)
class Calibrated(Answer):
    """How well observed cells that were hidden are found; arrays have one entry for each column.

    Attributes:
        names: of the columns with hidden cells.
        hidden: the number of hidden cells.
        is_category: whether a column's cells are categories.
        error: root mean square error in standard deviations of the column, or the share of wrong
            categories.
        error_normal: that of one multivariate normal, fitted by EM to the columns of numbers
            without the hidden cells; nan for categories, and for more than 200 columns of numbers.
        error_simple: that of the column's mean, or its most frequent category.
        coverage: the share of hidden cells in each interval, {50: ..., 80: ..., 90: ...}; nan for
            categories.
        factor: by which the 90 % intervals must be stretched about the median to cover 90 % of the
            hidden cells of numbers; nan without such cells.
    """

    names: Sequence[Any]
    hidden: np.ndarray
    is_category: np.ndarray
    error: np.ndarray
    error_normal: np.ndarray
    error_simple: np.ndarray
    coverage: Mapping[int, np.ndarray]
    factor: float

    reading = (
        "error of observed cells that were hidden: root mean square in standard deviations of the "
        "column, or the share of wrong categories; it is too small for rows that the model was "
        "fitted to"
    )

    def columns(self) -> Mapping[str, np.ndarray]:
        return {
            "hidden": self.hidden,
            "error": self.error,
            "error_normal": self.error_normal,
            "error_simple": self.error_simple,
            **{f"coverage_{percent}": each for percent, each in self.coverage.items()},
        }

    def labels(self) -> Sequence[Any] | None:
        return self.names

    def overall(self, percent: int) -> tuple[float, float]:
        """The coverage of an interval over all hidden cells of numbers, and its standard error."""
        counts = self.hidden[~self.is_category]
        total = counts.sum()
        if not total:
            return math.nan, math.nan
        share = float(
            (self.coverage[percent][~self.is_category] * counts).sum() / total
        )
        return share, math.sqrt(share * (1 - share) / total)

    def totals(self) -> Sequence[Total]:
        """Coverage, errors beside the simple methods, and the factor of the widths."""
        found = [Total("hidden", int(self.hidden.sum()), unit="observed cells")]
        numbers = ~self.is_category
        if numbers.any():
            for percent in INTERVALS:
                share, error = self.overall(percent)
                found.append(Total(f"{percent} % interval", share, error, "coverage"))
            normal = _rms(self, self.error_normal)
            mean = _rms(self, self.error_simple)
            note = f"one multivariate normal {normal:.3f}, the mean {mean:.3f}"
            found.append(Total("error", _rms(self, self.error), unit="sd", note=note))
            wider = "widths of the 90 % intervals for a coverage of 90 %"
            found.append(Total("factor", self.factor, note=wider))
        if self.is_category.any():
            share = _wrong(self, self.error)
            simple = _wrong(self, self.error_simple)
            note = f"most frequent category {simple:.3f}"
            found.append(Total("wrong", share, unit="of the categories", note=note))
        return found


def _rms(found: Calibrated, error: np.ndarray) -> float:
    """The root mean square error over all hidden cells of numbers."""
    numbers = ~found.is_category
    counts = found.hidden[numbers]
    return math.sqrt(float((np.square(error[numbers]) * counts).sum() / counts.sum()))


def _wrong(found: Calibrated, error: np.ndarray) -> float:
    """The share of wrong categories over all hidden ones."""
    return float(
        np.average(error[found.is_category], weights=found.hidden[found.is_category])
    )


def hidden_cells(
    rows: np.ndarray, share: float, seed: int, keep: Sequence[int]
) -> np.ndarray:
    """Which observed cells to hide, at random, (n, D).

    Arguments:
        rows: (n, D), nan where a cell is missing.
        share: of the observed cells.
        seed: of the choice.
        keep: columns that stay, since their cells can't be missing alone.

    Example:
        >>> hidden_cells(np.zeros((10, 2)), 0.5, 0, keep=[1])[:, 1].any()
        np.False_
    """
    random = np.random.default_rng([seed, 1])
    hidden = (random.random(rows.shape) < share) & ~np.isnan(rows)
    hidden[:, list(keep)] = False
    return hidden


def calibrated(
    rows: np.ndarray,
    hidden: np.ndarray,
    cells: Cells,
    names: Sequence[Any] | None,
) -> Calibrated:
    """The errors of hidden cells.

    Arguments:
        rows: with the hidden cells, (n, D).
        hidden: which are hidden, (n, D).
        cells: what was found for these and for missing cells.
        names: of the columns; None: their positions.
    """
    cells = cells.take(hidden[cells.row, cells.column])
    truth = rows[cells.row, cells.column]
    visible = np.where(hidden, np.nan, rows)
    columns = np.unique(cells.column)
    is_category = np.array(
        [cells.is_category[cells.column == one].any() for one in columns], bool
    )
    normal = _normal_error(visible, cells, columns[~is_category])
    found: dict[str, list[float]] = {
        "error": [],
        "error_normal": [],
        "error_simple": [],
    }
    for column, category in zip(columns, is_category, strict=True):
        own = cells.column == column
        seen = visible[:, column][~np.isnan(visible[:, column])]
        errors = [
            cells.point[own],
            normal[own],
            np.full(own.sum(), _simple(seen, category)),
        ]
        for name, point in zip(found, errors, strict=True):
            found[name].append(_error(point, truth[own], seen, category))
    inside = _inside(cells, truth)
    return Calibrated(
        [int(one) if names is None else names[one] for one in columns],
        np.array([(cells.column == one).sum() for one in columns], int),
        is_category,
        **{name: np.array(each) for name, each in found.items()},
        coverage={
            percent: np.array([each[cells.column == one].mean() for one in columns])
            for percent, each in inside.items()
        },
        factor=width_factor(cells, truth),
    )


def _simple(seen: np.ndarray, category: bool) -> float:
    """The mean of the observed cells of a column, or the most frequent category."""
    if not len(seen):
        return math.nan
    if not category:
        return float(seen.mean())
    values, counts = np.unique(seen, return_counts=True)
    return float(values[counts.argmax()])


def _error(
    point: np.ndarray, truth: np.ndarray, seen: np.ndarray, category: bool
) -> float:
    if np.isnan(point).any():
        return math.nan
    if category:
        return float((point != truth).mean())
    sd = float(seen.std()) if len(seen) else math.nan
    return math.sqrt(float(np.square(point - truth).mean())) / (sd or math.nan)


def _normal_error(visible: np.ndarray, cells: Cells, columns: np.ndarray) -> np.ndarray:
    """The hidden cells as one multivariate normal of the columns of numbers has them."""
    found = np.full(len(cells), np.nan)
    varies = [one for one in columns if _varies(visible[:, one])]
    if not 0 < len(varies) <= WIDEST or len(visible) < 2:
        return found
    chosen = visible[:, varies].astype(np.float64)
    normal = fit_normal(chosen, ridge=RIDGE, tolerance=1e-4, max_iterations=ITERATIONS)
    completed, _ = normal.conditional(chosen)
    for index, column in enumerate(varies):
        own = cells.column == column
        found[own] = completed[cells.row[own], index]
    return found


def _varies(column: np.ndarray) -> bool:
    """Whether the observed cells of a column are more than one number."""
    return len(np.unique(column[~np.isnan(column)])) > 1


def _inside(cells: Cells, truth: np.ndarray) -> dict[int, np.ndarray]:
    """Whether each cell is in each interval; nan for categories."""
    found = {}
    for percent, (low, high) in INTERVALS.items():
        above = truth >= cells.quantiles[:, LEVELS.index(low)]
        below = truth <= cells.quantiles[:, LEVELS.index(high)]
        found[percent] = np.where(cells.is_category, np.nan, above & below)
    return found


def width_factor(cells: Cells, truth: np.ndarray) -> float:
    """The smallest factor of the 90 % intervals with a coverage of 90 % of the hidden cells.

    It is the ⌈0.9 (m + 1)⌉-th smallest of the factors at which an interval just has its cell, as in
    conformal prediction; infinite where there are too few cells.

    References:
        Conformalized Quantile Regression (Romano, Patterson, Candès, 2019), for the scores.
    """
    numbers = ~cells.is_category
    quantiles = cells.quantiles[numbers]
    distance = truth[numbers] - quantiles[:, MEDIAN]
    above = quantiles[:, LEVELS.index(0.95)] - quantiles[:, MEDIAN]
    below = quantiles[:, MEDIAN] - quantiles[:, LEVELS.index(0.05)]
    width = np.where(distance > 0, above, below)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(distance == 0, 0.0, np.abs(distance) / width)
    count = len(needed)
    if not count:
        return math.nan
    rank = math.ceil(0.9 * (count + 1))
    return float(np.sort(needed)[rank - 1]) if rank <= count else math.inf
