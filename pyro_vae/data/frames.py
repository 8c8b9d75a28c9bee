"""DataFrames of any library (pandas, polars, pyarrow, ...), through narwhals."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyro_vae.data.columns import MICROSECONDS
from pyro_vae.data.moments import Moments, moments_of
from pyro_vae.data.plain_columns import plain, refuse_type

if TYPE_CHECKING:
    import narwhals as nw

LIBRARIES = ("pandas", "polars", "pyarrow")
EXACT = 2.0**53
"""The whole numbers that float64 has without a gap."""
Form = Literal["number", "truth", "category", "time", "duration"]


@dataclass(frozen=True)
class Cells:
    """The cells of one column.

    Attributes:
        name, dtype: of the column, as its library writes them.
        form: what the cells are.
        values: float64 with nan for numbers and truth values; int64 microseconds for times and
            durations; positions in `levels`, -1 for a missing cell, for categories.
        levels: of categories; None for others.
        ordered: whether the levels have an order.
        missing: which cells are missing, (n,).
        was_declared: whether the levels are those of a categorical type, and not of text.
        distinct: how many different whole numbers there are, where some are beyond 2^53.
    """

    name: str
    dtype: str
    form: Form
    values: np.ndarray
    missing: np.ndarray
    levels: tuple[Any, ...] | None = None
    ordered: bool = False
    was_declared: bool = False
    distinct: int | None = None

    @cached_property
    def moments(self) -> Moments:
        """Range, mean and standard deviation of a column of numbers."""
        return moments_of(self.values, complete=not self.missing.any())


def is_frame(x: Any) -> bool:
    """Whether x is a DataFrame of a library that narwhals knows.

    Example:
        >>> import pandas as pd
        >>> is_frame(pd.DataFrame({"a": [1]})), is_frame(np.zeros((1, 1)))
        (True, False)
    """
    if isinstance(x, np.ndarray) or not hasattr(x, "columns"):
        return False
    import narwhals as nw

    return bool(nw.dependencies.is_into_dataframe(x)) or is_lazy(x)


def is_lazy(x: Any) -> bool:
    """Whether x is a query, such as polars.LazyFrame, whose rows are not computed yet."""
    return type(x).__name__ == "LazyFrame"


def opened(frame: Any, name: str) -> "nw.DataFrame[Any]":
    """A DataFrame as narwhals sees it.

    Raises:
        ValueError: no frame, a lazy one, names of several levels, or names that occur twice.
    """
    import narwhals as nw

    if is_lazy(frame):
        raise ValueError(
            f"{name}: expected rows, got a lazy query; compute it first: frame.collect()"
        )
    if not is_frame(frame):
        remedy = "make one of it, such as pandas.DataFrame(x)"
        if hasattr(frame, "to_pandas"):
            remedy = "take x.to_pandas()"
        raise ValueError(
            f"{name}: expected a DataFrame, got {type(frame).__name__}; {remedy}, or read "
            "a file with pyro_vae.data.read(path)"
        )
    columns = _names(frame)
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise ValueError(
            f"{name}: expected a name for each column, got tuples such as "
            f"({', '.join(map(str, frame.columns[0]))}); join "
            'them: frame.set_axis(["_".join(map(str, c)) for c in frame.columns], axis=1)'
        )
    if len(set(columns)) < len(columns):
        _refuse_equal_names(columns, name)
    if hasattr(frame, "rename") and any(
        not isinstance(one, str) for one in frame.columns
    ):
        frame = frame.rename(columns=str)  # pandas may have numbers as names
    return nw.from_native(frame, eager_only=True)


def _names(frame: Any) -> list[str]:
    """The names of a frame's columns; pyarrow's `columns` are the columns themselves."""
    names = getattr(frame, "column_names", None)
    if not isinstance(names, list):  # of pandas it may be a column of that name
        names = frame.columns
    return [str(one) for one in names]


def _refuse_equal_names(columns: list[str], name: str) -> None:
    """Raise ValueError with a name that occurs twice, and both positions."""
    twice = next(column for column in columns if columns.count(column) > 1)
    positions = [i for i, column in enumerate(columns) if column == twice]
    raise ValueError(
        f"{name}: expected a name of its own for each column, got {twice!r} at the positions "
        f"{positions}; rename one of them"
    )


def library_of(frame: "nw.DataFrame[Any]") -> str:
    """The name of a frame's library, "pandas" for those that only look like it."""
    name = str(frame.implementation)
    return name if name in LIBRARIES else "pandas"


def cells_of(series: "nw.Series[Any]", source: str = "x") -> Cells:
    """The cells of a column as numbers.

    Raises:
        ValueError: cells of different types, or of a type that has no number and no name.
    """
    import narwhals as nw

    series = plain(series, source)
    dtype = series.dtype
    native = native_dtype(series)
    if dtype == nw.Boolean or dtype.is_numeric():
        return _numbers(series, native)
    if dtype in (nw.Datetime, nw.Date):
        return _times(series, native)
    if dtype == nw.Duration:
        spans = series.to_numpy().astype("timedelta64[us]")
        missing = np.isnat(spans)
        return Cells(series.name, native, "duration", spans.astype(np.int64), missing)
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return _categories(series, native)
    if series.is_null().all():
        nothing = np.full(len(series), np.nan)
        return Cells(series.name, native, "number", nothing, np.isnan(nothing))
    refuse_type(series.name, native, source)


def native_dtype(series: "nw.Series[Any]") -> str:
    """The dtype as pandas writes it; of other libraries as narwhals writes it."""
    import narwhals as nw

    native: Any = series.to_native()
    if series.implementation.is_pandas_like():
        return str(native.dtype)
    if series.dtype == nw.Unknown:
        return str(getattr(native, "type", series.dtype))
    return str(series.dtype)


def _numbers(series: "nw.Series[Any]", native: str) -> Cells:
    import narwhals as nw

    values = series.cast(nw.Float64).to_numpy().astype(np.float64, copy=False)
    form: Form = "truth" if series.dtype == nw.Boolean else "number"
    missing = np.isnan(values)
    distinct = None
    if series.dtype.is_integer() and np.abs(values).max(initial=0) >= EXACT:
        distinct = int(series.drop_nulls().n_unique())
    return Cells(series.name, native, form, values, missing, distinct=distinct)


def _times(series: "nw.Series[Any]", native: str) -> Cells:
    import narwhals as nw

    if getattr(series.dtype, "time_zone", None) is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    times = series.cast(nw.Datetime("us")).to_numpy().astype("datetime64[us]")
    return Cells(series.name, native, "time", times.astype(np.int64), np.isnat(times))


def _categories(series: "nw.Series[Any]", native: str) -> Cells:
    """Positions of the cells among the levels: those declared, or the sorted ones that occur."""
    import pandas as pd

    # Not series.to_numpy(): of pyarrow's dictionaries it gives a level for a missing cell.
    column = pd.Series(series.to_pandas())
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = tuple(_plain(level) for level in column.cat.categories)
        positions = column.cat.codes.to_numpy().astype(np.int64)
        ordered = bool(column.cat.ordered) or str(series.dtype).startswith("Enum")
        is_enum = ordered or series.implementation.is_pandas_like()
        if not is_enum:  # polars shares the categories of all columns
            levels, positions = _occurring(levels, positions)
        return Cells(
            series.name,
            native,
            "category",
            positions,
            positions < 0,
            levels,
            ordered,
            was_declared=True,
        )
    codes, unique = pd.factorize(column.to_numpy(dtype=object), use_na_sentinel=True)
    names = [_plain(level) for level in unique]
    levels, positions = _sorted(names, codes.astype(np.int64))
    return Cells(series.name, native, "category", positions, positions < 0, levels)


def _occurring(
    levels: tuple[Any, ...], positions: np.ndarray
) -> tuple[tuple[Any, ...], np.ndarray]:
    """The levels that occur, sorted, and the positions among them."""
    used = np.unique(positions[positions >= 0])
    names = [levels[i] for i in used]
    codes = np.searchsorted(used, positions)
    return _sorted(names, np.where(positions < 0, -1, codes))


def _sorted(names: list[Any], codes: np.ndarray) -> tuple[tuple[Any, ...], np.ndarray]:
    """Levels in the order of their names, and the positions of the cells among them."""
    order = sorted(range(len(names)), key=lambda i: names[i])
    rank = np.empty(len(names) + 1, dtype=np.int64)
    rank[order] = np.arange(len(names))
    rank[-1] = -1  # of a missing cell, whose code is -1
    return tuple(names[i] for i in order), rank[codes]


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's number; others as text unless they are numbers or truth values."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return value
    return str(value)


def unit_of(spans: np.ndarray) -> str:
    """The largest unit in which the span of times or durations is at least ten.

    Example:
        >>> unit_of(np.array([0, 86_400_000_000]))  # one day in microseconds
        'hours'
    """
    span = float(spans.max() - spans.min()) if len(spans) else 0.0
    for name, size in MICROSECONDS.items():
        if span >= 10 * size:
            return name
    return "microseconds"
