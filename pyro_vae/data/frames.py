"""DataFrames of any library (pandas, polars, pyarrow, ...), through narwhals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyro_vae.data.columns import MICROSECONDS

if TYPE_CHECKING:
    import narwhals as nw

LIBRARIES = ("pandas", "polars", "pyarrow")
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
    """

    name: str
    dtype: str
    form: Form
    values: np.ndarray
    missing: np.ndarray
    levels: tuple[Any, ...] | None = None
    ordered: bool = False
    was_declared: bool = False


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
        ValueError: a lazy frame, or names of columns that occur twice.
    """
    import narwhals as nw

    if is_lazy(frame):
        raise ValueError(
            f"{name}: expected rows, got a lazy query; compute it first: frame.collect()"
        )
    columns: Any = frame.columns
    if hasattr(columns, "duplicated") and columns.duplicated().any():  # pandas
        _refuse_equal_names([str(column) for column in columns], name)
    if hasattr(frame, "rename") and any(not isinstance(one, str) for one in columns):
        frame = frame.rename(columns=str)  # pandas may have numbers as names
    return nw.from_native(frame, eager_only=True)


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

    series = _of_one_type(series, source)
    dtype = series.dtype
    native = native_dtype(series)
    if dtype == nw.Boolean or dtype.is_numeric():
        values = series.cast(nw.Float64).to_numpy().astype(np.float64, copy=False)
        form: Form = "truth" if dtype == nw.Boolean else "number"
        return Cells(series.name, native, form, values, np.isnan(values))
    if dtype in (nw.Datetime, nw.Date):
        return _times(series, native)
    if dtype == nw.Duration:
        spans = series.to_numpy().astype("timedelta64[us]")
        missing = np.isnat(spans)
        return Cells(series.name, native, "duration", spans.astype(np.int64), missing)
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return _categories(series, native)
    raise ValueError(
        f"{source}: column {series.name!r}: expected numbers, text, categories or times, got "
        f"{native}; convert the column, or leave it out: drop=[{series.name!r}]"
    )


def native_dtype(series: "nw.Series[Any]") -> str:
    """The dtype as pandas writes it; of other libraries as narwhals writes it."""
    if series.implementation.is_pandas_like():
        return str(series.to_native().dtype)
    return str(series.dtype)


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


def _of_one_type(series: "nw.Series[Any]", source: str) -> "nw.Series[Any]":
    """A column of Python's objects, sparse numbers or periods (pandas) as one of a plain type.

    Raises:
        ValueError: cells of different types.
    """
    import narwhals as nw
    import pandas as pd

    if series.dtype not in (nw.Object, nw.Unknown):
        return series
    column = series.to_native()
    if isinstance(getattr(column, "dtype", None), pd.SparseDtype):
        return nw.from_native(column.sparse.to_dense(), series_only=True)
    if isinstance(getattr(column, "dtype", None), pd.PeriodDtype):
        return nw.from_native(column.dt.to_timestamp(), series_only=True)
    if series.dtype == nw.Unknown:
        return series
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in {"date", "datetime"}:
        column = pd.to_datetime(column)
    elif inferred == "boolean":
        column = column.astype("boolean")
    elif inferred == "integer" and _fit_64_bits(column):
        column = column.astype("Int64")
    elif inferred in {"decimal", "integer", "floating", "mixed-integer-float"}:
        column = column.astype(float)
    elif inferred in {"string", "empty"}:
        column = column.astype("str")
    else:
        _refuse_mixture(column, series.name, source)
    return nw.from_native(column, series_only=True)


def _fit_64_bits(column: Any) -> bool:
    """Whether int64 has all whole numbers of a column."""
    present = column.dropna()
    low, high = int(present.min()), int(present.max())
    return low >= -(2**63) and high < 2**63


def _refuse_mixture(column: Any, name: str, source: str) -> None:
    """Raise ValueError with two cells of different types, or one of a type that has no number."""
    known = [(i, cell) for i, cell in enumerate(column) if cell is not None]
    first_row, first = known[0]
    others = [(i, cell) for i, cell in known if type(cell) is not type(first)]
    if not others:
        raise ValueError(
            f"{source}: column {name!r}: expected numbers, text, categories or times, got "
            f"{type(first).__name__}, such as {first!r} in row {first_row}; convert the column, "
            f"for example frame[{name!r}].astype(str), or leave it out: drop=[{name!r}]"
        )
    row, other = others[0]
    raise ValueError(
        f"{source}: column {name!r}: expected cells of one type, got {first!r} in row {first_row} "
        f"and {other!r} ({type(other).__name__}) in row {row}; convert the column, for example "
        f"frame[{name!r}].astype(str), or leave it out: drop=[{name!r}]"
    )


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
