"""The cells of a column as the numbers that the model sees, by what the schema says of it."""

import math
from typing import Any

import numpy as np

from pyro_vae.data.columns import MICROSECONDS, Column
from pyro_vae.data.frames import Cells
from pyro_vae.data.names import shortened

SHIFTED = 1e4
"""Numbers this many standard deviations from 0 are shifted before float32 rounds them."""
SHIFTABLE = ("normal", "laplace", "student_t")
"""The likelihoods whose density doesn't depend on an offset."""
ROUNDED = 1e-5
"""What float32 may change a number by, in standard deviations of its column."""


def coded(cells: Cells, column: Column, source: str) -> np.ndarray:
    """The numbers of a column, (n,) float64, nan where a cell is missing.

    Raises:
        ValueError: cells of another form than the column has, or a level that it doesn't have.
    """
    if column.levels is not None:
        return _positions(cells, column, source)
    if column.unit is not None:
        return _spans(cells, column, source)
    if cells.form == "category":
        cells = _numbers_of(cells, column, source)
    if cells.form not in {"number", "truth"}:
        _refuse(cells, column, "numbers", source)
    if column.offset:
        return cells.values - column.offset
    return cells.values


def _positions(cells: Cells, column: Column, source: str) -> np.ndarray:
    """The positions of the cells among the levels of the column."""
    levels = column.levels or ()
    position_of = {level: position for position, level in enumerate(levels)}
    if cells.form == "category":
        given = cells.levels or ()
        code = np.where(cells.missing, len(given), cells.values).astype(int)
    elif cells.form in {"number", "truth"}:
        unique, code = np.unique(cells.values, return_inverse=True)
        given = tuple(unique.tolist())
        code = code.reshape(-1)
    else:
        _refuse(cells, column, "categories", source)
    # one more for a missing cell
    table = np.array([position_of.get(level, -1) for level in given] + [np.nan])
    if cells.form != "category":
        table[: len(given)][np.isnan(np.array(given, dtype=float))] = np.nan
    positions: np.ndarray = table[code]
    unseen = positions == -1
    if unseen.any():
        row = int(unseen.argmax())
        level = given[int(code[row])]
        known = shortened(levels)
        raise ValueError(
            f"{source}: column {column.name!r}: expected the levels {known}, got {level!r} in row "
            f"{row} ({int(unseen.sum())} such rows): the model has never seen it; drop these rows, "
            "or fit again with them"
        )
    return positions


def _spans(cells: Cells, column: Column, source: str) -> np.ndarray:
    """Times since the origin, or durations, in the column's unit."""
    form = "duration" if column.origin is None else "time"
    if cells.form != form:
        _refuse(cells, column, f"{form}s", source)
    origin = 0
    if column.origin is not None:
        origin = int(np.datetime64(column.origin, "us").astype(np.int64))
    assert column.unit is not None
    spans = (cells.values - origin).astype(np.float64) / MICROSECONDS[column.unit]
    return np.where(cells.missing, np.nan, spans)


def _numbers_of(cells: Cells, column: Column, source: str) -> Cells:
    """Categories whose levels are numbers as these numbers."""
    levels = cells.levels or ()
    if not all(isinstance(level, int | float) for level in levels):
        _refuse(cells, column, "numbers", source)
    table = np.array([*levels, np.nan], dtype=np.float64)
    values = table[cells.values]  # -1, a missing cell, is the last one
    return Cells(cells.name, cells.dtype, "number", values, cells.missing)


def _refuse(cells: Cells, column: Column, expected: str, source: str) -> None:
    got = {"category": "text or categories", "time": "times"}.get(
        cells.form, f"{cells.form}s"
    )
    raise ValueError(
        f"{source}: column {column.name!r}: expected {expected}, as in the data of the model, got "
        f"{got} ({cells.dtype}); convert the column"
    )


def offset_of(values: np.ndarray, kind: str) -> float:
    """What to subtract from numbers that are many standard deviations from 0, otherwise 0.

    Example:
        >>> offset_of(np.array([2459000.25, 2459001.25]), "normal")
        2459000.8
    """
    if kind not in SHIFTABLE:
        return 0.0
    present = values[np.isfinite(values)]
    if len(present) == 0:
        return 0.0
    mean, spread = float(present.mean()), float(present.std())
    if spread == 0 or abs(mean) < SHIFTED * spread:
        return 0.0
    digits = -math.floor(math.log10(spread))
    return float(round(mean, digits))


def fits_float32(values: np.ndarray, whole: bool) -> bool:
    """Whether float32 has the numbers: whole ones exactly, others to 1e-5 of the std."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(values - values.astype(np.float32))
    largest = float(np.nanmax(error, initial=0.0))
    if largest == 0:
        return True
    if whole or not math.isfinite(largest):  # inf where a number is beyond its range
        return False
    spread = float(np.nanstd(values))
    return largest <= ROUNDED * spread


def levels_of(cells: Cells, column: str, asked: Any, source: str) -> tuple[Any, ...]:
    """The levels of a column that is modelled as categories: those asked for, or its own.

    Raises:
        ValueError: cells that are no levels.
    """
    if asked is not None:
        return tuple(asked)
    if cells.form == "category":
        return cells.levels or ()
    present = np.unique(cells.values[~cells.missing])
    if cells.form == "truth":
        return (False, True)
    if cells.form != "number":
        raise ValueError(
            f"{source}: column {column!r}: expected categories, text or whole numbers, got "
            f"{cells.form}s ({cells.dtype})"
        )
    if (present == np.floor(present)).all():
        return tuple(int(value) for value in present)
    return tuple(present.tolist())


def compact(numbers: np.ndarray, kind: str) -> np.ndarray:
    """The numbers in float32 where it has them, see `fits_float32`."""
    present = numbers[np.isfinite(numbers)]
    whole = bool((present == np.floor(present)).all())
    if fits_float32(numbers, whole and kind not in SHIFTABLE):
        return numbers.astype(np.float32)
    return numbers
