"""Numbers of the model as a DataFrame: the columns, dtypes and levels of the data."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from pyro_vae.data.columns import CONSTANT, Column, Schema


def as_frame(
    schema: Schema, values: np.ndarray, labels: Sequence[Any] | None = None
) -> Any:
    """Numbers of the model as a DataFrame with the columns, dtypes and levels of the data.

    Arguments:
        schema: of the data.
        values: (n, D), one column for each that the model sees.
        labels: of the rows; None leaves them out.

    Example:
        >>> species = Column(name="species", kind="categorical", dtype="str", levels=("a", "b"))
        >>> schema = Schema(columns=(species, Column(name="sites", kind="poisson", dtype="int64")))
        >>> as_frame(schema, np.array([[1.0, 3.0]])).to_dict("records")
        [{'species': 'b', 'sites': 3}]
    """
    positions = {column.name: i for i, column in enumerate(schema.modelled)}
    cells: dict[str, np.ndarray] = {}
    for column in schema.columns:
        if column.modelled:
            cells[column.name] = column.decoded(values[:, positions[column.name]])
        elif column.levels is not None and column.kind == CONSTANT:
            cells[column.name] = column.decoded(np.zeros(len(values)))
    dtypes = {column.name: column for column in schema.columns}
    library = schema.library if find_spec(schema.library) else "pandas"
    if library != "pandas":
        return _of_narwhals(cells, dtypes, library, schema.label, labels)
    import pandas as pd

    made = {name: _pandas_column(cells[name], dtypes[name]) for name in cells}
    frame = pd.DataFrame(made)
    if labels is not None:  # tuples, of an index of several levels, stay tuples
        frame.index = pd.Index(list(labels), name=schema.label, tupleize_cols=False)
    return frame


def _pandas_column(cells: np.ndarray, column: Column) -> Any:
    """A column of pandas with the dtype that the data had."""
    import pandas as pd

    if column.dtype.startswith(("category", "dictionary<")):
        return pd.Categorical(
            cells, categories=list(column.levels or ()), ordered=column.ordered
        )
    if column.dtype == "string[pyarrow]":  # as text it names a type of pandas
        import pyarrow as pa

        return pd.Series(cells, dtype=pd.ArrowDtype(pa.string()))
    series = pd.Series(_whole(_in_unit(cells, column.dtype), column.dtype))
    if zone_of(column) is not None:
        series = series.dt.tz_localize("UTC")
    try:
        return series.astype(column.dtype)
    except (TypeError, ValueError, NotImplementedError):  # that of another library
        return series


def zone_of(column: Column) -> str | None:
    """The time zone of a column of times; None where it has none.

    Example:
        >>> zone_of(Column(name="t", kind="normal", origin="2020-01-01", unit="days",
        ...                dtype="datetime64[us, Asia/Tokyo]"))
        'Asia/Tokyo'
    """
    zone = re.search(r"\[\w+, (?:tz=)?([^\]]+)\]", column.dtype)
    return None if column.origin is None or zone is None else zone[1]


def _in_unit(cells: np.ndarray, dtype: str) -> np.ndarray:
    """Times and durations in the unit of a type: Arrow refuses a cast that loses digits."""
    unit = re.search(r"(?:time_unit='|\[)(s|ms|us|ns)\b", dtype)
    if cells.dtype.kind not in "mM" or unit is None:
        return cells
    return cells.astype(f"{cells.dtype.kind}8[{unit[1]}]")


def _whole(cells: np.ndarray, dtype: str) -> np.ndarray:
    """Real numbers rounded for a column of whole numbers, and cut to the range of its type."""
    if cells.dtype.kind != "f":
        return cells
    if dtype.lower().startswith("bool"):
        truth = (cells > 0.5).astype(object)
        truth[np.isnan(cells)] = None
        return truth if np.isnan(cells).any() else cells > 0.5
    whole = re.fullmatch(r"(u?int)(8|16|32|64).*", dtype.lower())
    if whole is None:
        return cells
    limits = np.iinfo(f"{whole[1]}{whole[2]}")
    return np.clip(np.rint(cells), float(limits.min), float(limits.max))


def _of_narwhals(
    cells: dict[str, np.ndarray],
    columns: dict[str, Column],
    library: Any,
    label: str | None,
    labels: Sequence[Any] | None,
) -> Any:
    """A DataFrame of polars or pyarrow."""
    import narwhals as nw

    made: dict[str, Any] = {}
    if labels is not None:
        made[label or "row"] = nw.new_series(
            label or "row", list(labels), backend=library
        )
    for name, values in cells.items():
        dtype = narwhals_dtype(columns[name])
        given: Any = _whole(_in_unit(values, columns[name].dtype), columns[name].dtype)
        if given.dtype == object:
            given = given.tolist()
        series = nw.new_series(name, given, backend=library)
        made[name] = series if dtype is None else series.cast(dtype)
    first, *others = made.values()
    # nw.from_dict would make an Enum of polars a Categorical
    return first.to_frame().with_columns(*others).to_native()


def narwhals_dtype(column: Column) -> Any:
    """The type that narwhals writes as `column.dtype`; None where it isn't known.

    Example:
        >>> narwhals_dtype(Column(name="a", kind="normal", dtype="Int64"))
        Int64
        >>> narwhals_dtype(Column(name="a", kind="normal", dtype="Datetime(time_unit='ns')"))
        Datetime(time_unit='ns', time_zone=None)
    """
    import narwhals as nw

    name = column.dtype.partition("(")[0]
    if name == "Enum":
        return nw.Enum([str(level) for level in column.levels or ()])
    if name in {"Datetime", "Duration"}:
        options = dict(re.findall(r"(time_unit|time_zone)='([^']*)'", column.dtype))
        return getattr(nw, name)(**options)
    if name == "Decimal":  # narwhals has no digits after the point for it
        return None
    made = getattr(nw, name, None)
    return (
        made() if isinstance(made, type) and issubclass(made, nw.dtypes.DType) else None
    )
