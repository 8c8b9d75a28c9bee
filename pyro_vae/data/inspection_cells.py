"""Cells of the table of columns that `pyro-vae inspect` prints."""

from collections.abc import Sequence

import numpy as np

from pyro_vae.data.columns import Column
from pyro_vae.data.names import shortened

WIDEST = 30
WIDEST_REASON = 70


def counted(count: int, word: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "row"), counted(2, "row")
        ('1 row', '2 rows')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def values_of(column: Column, numbers: np.ndarray) -> str:
    """The levels of a column, or its range.

    Example:
        >>> values_of(Column(name="a", kind="normal"), np.array([0.123456, 7.0]))
        '0.1235 to 7'
    """
    if column.levels is not None:
        return f"{len(column.levels)}: {shortened(column.levels, most=3)}"
    present = numbers[~np.isnan(numbers)]
    if len(present) == 0:
        return ""
    low, high = column.decoded(np.array([present.min(), present.max()]))
    if column.origin is not None:
        are_days = column.unit == "days" or low.astype("M8[D]") == low
        ends = np.array([low, high]).astype("M8[D]" if are_days else "M8[m]")
        first, last = np.datetime_as_string(ends)
        return f"{first} to {last}".replace("T", " ")
    if column.unit is not None:
        return f"{low} to {high}"
    digits = 12 if column.offset else 4
    return f"{_number(low, digits)} to {_number(high, digits)}"


def _number(value: float, digits: int) -> str:
    """Whole numbers in full, others with a few digits."""
    if abs(value) < 1e15 and (value == round(value) or abs(value) >= 10.0**digits):
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text with columns of one width."""
    cut = [[*map(short, row[:-1]), short(row[-1], WIDEST_REASON)] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cut
    ]


def short(cell: str, most: int = WIDEST) -> str:
    """A cell in one line, cut where it is longer than `most`."""
    one_line = " ".join(cell.split())
    return one_line if len(one_line) <= most else f"{one_line[: most - 1]}…"
