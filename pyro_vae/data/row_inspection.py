"""One row of a source, cell by cell, beside the others: what is odd about it."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyro_vae.data.columns import Column, Schema
from pyro_vae.data.inspection_cells import aligned
from pyro_vae.data.sparse import SparseArray
from pyro_vae.data.summary_statistics import NORMAL

SHOWN = 20
MOST_ROWS = 10_000
HEADER = ("column", "value", "median", "robust standard deviations away")


def about_row(
    rows: np.ndarray | SparseArray,
    number: int,
    columns: Sequence[Any] | None = None,
    schema: Schema | None = None,
) -> str:
    """The cells of a row, the farthest from the median of its column first.

    The distance is in robust standard deviations, 1.4826 times the median absolute deviation; where
    more than half of a column is one number, in standard deviations.

    Arguments:
        rows: all of them, (n, *data_shape); the medians are of 10 000 of them.
        number: of the row, from 0.
        columns: their names; positions by default.
        schema: the columns of a table.

    Example:
        >>> x = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 900.0], [3.0, 3.0]])
        >>> print(about_row(x, 2, ["a", "b"]))
        column  value  median  robust standard deviations away
        b       900    2.5     605
        a       2      1.5     0.337
    """
    some = np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(int)
    others = _flat(rows[some])
    row = _flat(rows[number : number + 1])[0]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of columns without a cell
        middle = np.nanmedian(others, 0)
        distance = np.abs(row - middle) / _spread(others, middle)
    distance = np.where(row == middle, 0.0, distance)
    order = np.argsort(-np.nan_to_num(distance, nan=np.inf), kind="stable")
    names = range(len(row)) if columns is None else columns
    modelled = [None] * len(row) if schema is None else schema.modelled
    lines: list[Sequence[str]] = [HEADER]
    for place in order[:SHOWN]:
        cells = (_cell(one[place], modelled[place]) for one in (row, middle))
        lines.append((str(names[place]), *cells, f"{distance[place]:.3g}"))
    found = aligned(lines)
    if len(order) > SHOWN:
        found.append(f"... and {len(order) - SHOWN} cells nearer to their medians")
    return "\n".join(found)


def _flat(rows: np.ndarray | SparseArray) -> np.ndarray:
    """Rows as numbers, (n, columns)."""
    dense: np.ndarray = np.asarray(rows, np.float64)
    return dense.reshape(len(dense), -1)


def _spread(rows: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The robust standard deviation of each column, and where that is 0 the standard deviation."""
    robust = NORMAL * np.nanmedian(np.abs(rows - middle), 0)
    return np.where(robust > 0, robust, np.nanstd(rows, 0))


def _cell(value: Any, column: Column | None) -> str:
    """A number as it stands in its source."""
    if np.isnan(value):
        return "missing"
    if column is not None:
        value = column.decoded(np.array([value]))[0]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
