"""Columns of rare types as one of the usual ones, or refused with what to write instead."""

import numbers
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    import narwhals as nw

NESTED = "make a column of each of their parts"
REMEDIES = {
    "complex": "make columns of the real and the imaginary parts",
    "interval": "make text of it, frame[{name!r}].astype(str)",
    "time": "make hours of it, as numbers",
    "bytes": "decode it to text",
    "binary": "decode it to text",
    **dict.fromkeys(("list", "array", "ndarray", "struct", "map"), NESTED),
    **dict.fromkeys(("dict", "tuple", "set", "frozenset"), NESTED),
}
"""By the first word of a type."""


def plain(series: "nw.Series[Any]", source: str) -> "nw.Series[Any]":
    """A column of objects, sparse or big-endian numbers (pandas), or of rare types of Arrow.

    Raises:
        ValueError: cells of different types.
    """
    import narwhals as nw

    if series.dtype not in (nw.Object, nw.Unknown):
        return series
    native: Any = series.to_native()
    if series.implementation.is_pyarrow():
        made = nw.from_native(_of_arrow(native), series_only=True)
        return made.alias(series.name)
    if not series.implementation.is_pandas_like():
        return series
    if series.dtype == nw.Object:
        return nw.from_native(_of_objects(native, source), series_only=True)
    if str(native.dtype).startswith("period"):
        native = native.dt.to_timestamp()
    elif hasattr(native, "sparse"):
        native = native.sparse.to_dense()
    elif isinstance(native.dtype, np.dtype) and not native.dtype.isnative:
        native = native.astype(native.dtype.newbyteorder("="))
    elif native.dtype == np.longdouble:
        native = native.astype(np.float64)
    return nw.from_native(native, series_only=True)


def _of_arrow(column: Any) -> Any:
    """Decimals of 256 bits as float64, days in milliseconds as days; others as they are."""
    import pyarrow as pa

    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    if pa.types.is_date64(column.type):
        return column.cast(pa.date32())
    return column


def _of_objects(column: Any, source: str) -> Any:
    """A column of Python's objects (pandas) as one of text, truth values, numbers or times.

    Raises:
        ValueError: cells of different types, or of another type.
    """
    import pandas as pd

    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in {"date", "datetime"}:
        return _as_times(column)
    if inferred == "timedelta":
        return pd.to_timedelta(column)
    if inferred == "boolean":
        return column.astype("boolean")
    if inferred in {"string", "empty"}:
        return column.astype("str")
    present = column[column.notna()]
    types = set(map(type, present))
    are_real = all(issubclass(one, numbers.Real) for one in types)
    if inferred == "decimal" or (are_real and not types & {bool, np.bool_}):
        return _as_numbers(column, source)
    _refuse_objects(present, np.flatnonzero(column.notna()).tolist(), source)


def _as_times(column: Any) -> Any:
    """Times; those with different time zones in UTC."""
    import pandas as pd

    try:
        return pd.to_datetime(column)
    except ValueError:
        return pd.to_datetime(column, utc=True)


def _as_numbers(column: Any, source: str) -> Any:
    """Whole numbers of 64 bits stay exact, others become float64."""
    present = column.dropna()
    is_whole = all(isinstance(cell, int | np.integer) for cell in present)
    if is_whole and all(abs(int(cell)) < 2**63 for cell in present):
        return column.astype("Int64")
    try:
        numbers = column.astype(float)
        is_rounded = is_whole and present.nunique() > numbers.nunique()
    except OverflowError:
        is_rounded = True
    if is_rounded:
        raise ValueError(
            f"{source}: column {column.name!r}: expected numbers of double precision, got whole "
            f"numbers such as {_short(present.iloc[0])}, which it hasn't; make text of it, "
            f"frame[{column.name!r}].astype(str), or leave it out: drop=[{column.name!r}]"
        )
    return numbers


def _refuse_objects(present: Any, rows: list[int], source: str) -> NoReturn:
    """Raise ValueError with a cell of no usual type, or with two cells of different types."""
    cells = list(present)
    name = str(present.name)
    first = cells[0]
    others = [i for i, cell in enumerate(cells) if type(cell) is not type(first)]
    if not others:
        refuse_type(name, f"{type(first).__name__} such as {first!r}", source)
    other = cells[others[0]]
    raise ValueError(
        f"{source}: column {name!r}: expected cells of one type, got {_short(first)} in row "
        f"{rows[0]} and {_short(other)} ({type(other).__name__}) in row {rows[others[0]]}; make "
        f"text of it, frame[{name!r}].astype(str), or leave it out: drop=[{name!r}]"
    )


def refuse_type(name: str, got: str, source: str) -> NoReturn:
    """Raise ValueError for a column of a type that is no number, text or time."""
    word = got.lower()
    remedy = next(
        (text for start, text in REMEDIES.items() if word.startswith(start)),
        "convert the column",
    )
    raise ValueError(
        f"{source}: column {name!r}: expected numbers, text, categories or times, got "
        f"{_short(got, str)}; {remedy.format(name=name)}, or leave it out: drop=[{name!r}]"
    )


def _short(cell: Any, written: Any = repr, most: int = 80) -> str:
    text = " ".join(written(cell).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
