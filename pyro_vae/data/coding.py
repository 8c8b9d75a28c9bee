"""The cells of a column as the numbers that the model sees, by what the schema says of it."""

import math
from typing import Any, NamedTuple

import numpy as np

from pyro_vae.data.columns import MICROSECONDS, RANDOM_EFFECT, Column
from pyro_vae.data.frames import Cells, unit_of
from pyro_vae.data.moments import Moments, moments_of
from pyro_vae.data.names import shortened

SHIFTED = 1e4
"""Numbers this many standard deviations from 0 are shifted before float32 rounds them."""
SHIFTABLE = ("normal", "laplace", "student_t")
"""The likelihoods whose density doesn't depend on an offset."""
ROUNDED = 1e-5
"""What float32 may change a number by, in standard deviations of its column."""
LARGEST = float(np.finfo(np.float32).max)
EXACT = 2.0**24
"""Float32 has all whole numbers up to this."""
PRECISION = 2.0**-24
SMALLEST = 2.0**-150
"""A rounded number has a relative error of at most 2^-24, or an absolute one of 2^-150."""


class Numbers(NamedTuple):
    """The numbers of a column, and the type in which the model takes them.

    Attributes:
        values: (n,) float64, or of that type.
        dtype: float32 where that has the numbers, see `fits_float32`; otherwise float64.
    """

    values: np.ndarray
    dtype: np.dtype[Any]


def numbers_of(cells: Cells, column: Column, source: str) -> Numbers:
    """The numbers of a column as the model takes them.

    Those that lie in the memory of a DataFrame stay there; copies are made small.
    """
    numbers = coded(cells, column, source)
    if (
        cells.form == "number" and column.levels is None
    ):  # known from the choice of the kind
        moments = cells.moments.shifted(column.offset)
    else:
        moments = moments_of(numbers)
    must_be_exact = moments.whole and column.kind not in SHIFTABLE
    if not fits_float32(numbers, moments, must_be_exact):
        return Numbers(numbers, numbers.dtype)
    if numbers.flags.owndata:
        numbers = numbers.astype(np.float32)
    return Numbers(numbers, np.dtype(np.float32))


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
    """The positions of the cells among the levels of the column.

    A level that is new has the next position, in a column that may have such.
    """
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
    if column.kind == RANDOM_EFFECT:
        positions[unseen] = len(levels)
    elif unseen.any():
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


def offset_of(moments: Moments, kind: str) -> float:
    """What to subtract from numbers that are many standard deviations from 0, otherwise 0.

    Example:
        >>> offset_of(moments_of(np.array([2459000.25, 2459001.25])), "normal")
        2459000.8
    """
    if kind not in SHIFTABLE or not moments.std > 0:
        return 0.0
    if abs(moments.mean) < SHIFTED * moments.std:
        return 0.0
    digits = -math.floor(math.log10(moments.std))
    return float(round(moments.mean, digits))


def fits_float32(numbers: np.ndarray, moments: Moments, whole: bool) -> bool:
    """Whether float32 has the numbers: whole ones exactly, others to 1e-5 of the std.

    Arguments:
        numbers: (n,) float64.
        moments: of them.
        whole: whether they have to be exact.
    """
    largest = moments.largest
    if largest > LARGEST:
        return math.isinf(largest)
    if moments.whole and largest <= EXACT:
        return True
    tolerance = 0.0 if whole else ROUNDED * moments.std
    if max(largest * PRECISION, SMALLEST) <= tolerance:  # no number is rounded by more
        return True
    error = np.abs(numbers - numbers.astype(np.float32))
    return float(np.nanmax(error, initial=0.0)) <= tolerance


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


def unit_and_origin(cells: Cells) -> dict[str, Any]:
    """The unit of times or durations, and the first time as the origin."""
    present = cells.values[~cells.missing]
    unit: dict[str, Any] = {"unit": unit_of(present)}
    if cells.form == "duration":
        return unit
    return unit | {"origin": str(np.datetime64(int(present.min()), "us"))}
