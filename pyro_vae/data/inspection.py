"""What a table holds, column by column, and what is odd about it."""

import json
import tomllib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.data.columns import Column
from pyro_vae.data.names import shortened

if TYPE_CHECKING:
    from pyro_vae.data.tables import Table

FEW_ROWS = 50
OUTLYING = 20.0
"""Robust standard deviations from the median: a normal column has none beyond 6 in 1e9 rows."""
NORMAL = 1.4826
LARGEST = 3.4e38


def summary(table: "Table") -> str:
    """A table of the columns: name, dtype, kind, values, missing share, and why that kind.

    Example:
        >>> import pandas as pd
        >>> from pyro_vae.data import table
        >>> print(summary(table(pd.DataFrame({"x": [0.5, 2.5, 1.5], "up": [1, 0, 1]}))))
        3 rows, 2 columns to model
        column  dtype    kind       values      missing  because
        x       float64  normal     0.5 to 2.5  0 %      real numbers
        up      int64    bernoulli  0 to 1      0 %      each value is 0 or 1
    """
    rows, width = table.values.shape
    lines = [f"{rows} rows, {width} columns to model"]
    lines += [f"note: {note}" for note in table.notes]
    cells = [("column", "dtype", "kind", "values", "missing", "because")]
    position = 0
    why = {
        column.name: reason.why
        for column, reason in zip(table.schema.columns, table.reasons, strict=False)
    }
    for column in table.schema.columns:
        values, missing = "", ""
        if column.modelled:
            numbers = table.values[:, position]
            values = _values(column, numbers)
            missing = f"{100 * float(np.isnan(numbers).mean()):.3g} %"
            position += 1
        kind = column.kind.replace("_", " ") if not column.modelled else column.kind
        cells.append(
            (column.name, column.dtype, kind, values, missing, why.get(column.name, ""))
        )
    lines += _aligned(cells)
    return "\n".join(lines)


def _values(column: Column, numbers: np.ndarray) -> str:
    """The levels of a column, or its range."""
    if column.levels is not None:
        return f"{len(column.levels)}: {shortened(column.levels, most=3)}"
    present = numbers[~np.isnan(numbers)]
    if len(present) == 0:
        return ""
    low, high = column.decoded(np.array([present.min(), present.max()]))
    if column.origin is not None:
        first, last = np.datetime_as_string([low, high], unit="auto")
        return f"{first} to {last}"
    if column.unit is not None:
        return f"{low} to {high}"
    digits = 12 if column.offset else 6
    return f"{low:.{digits}g} to {high:.{digits}g}"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text with columns of one width, at most 30 characters but for the last."""
    cut = [[_short(cell) for cell in row[:-1]] + [row[-1]] for row in cells]
    widths = [max(len(row[i]) for row in cut) for i in range(len(cut[0]))]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cut
    ]


def _short(cell: str, most: int = 30) -> str:
    one_line = " ".join(cell.split())
    return one_line if len(one_line) <= most else f"{one_line[: most - 1]}…"


def oddities(table: "Table") -> list[str]:
    """Sentences on what may be wrong with a table, each with the columns and a remedy.

    Example:
        >>> import pandas as pd
        >>> from pyro_vae.data import table
        >>> oddities(table(pd.DataFrame({"a": [1.5, 2.5, 3.25], "b": [1.5, 2.5, 3.25]})))[1]
        "'b' has the values of 'a': leave one out, drop=['b']"
    """
    return [*_about_rows(table), *_about_columns(table)]


def _about_rows(table: "Table") -> Iterator[str]:
    rows = len(table)
    if rows < FEW_ROWS:
        yield f"only {rows} rows: a model of them is hardly better than independent columns"
    equal = rows - len(np.unique(table.values, axis=0))
    if equal:
        yield f"{equal} of {rows} rows are equal to another row"
    missing = table.missing
    if missing:
        cells = sum(missing.values())
        yield f"{cells} missing cells in the columns {shortened(list(missing))}"


def _about_columns(table: "Table") -> Iterator[str]:
    modelled = table.schema.modelled
    first_with: dict[Any, str] = {}
    for position, column in enumerate(modelled):
        numbers = table.values[:, position]
        key = numbers.tobytes()
        if key in first_with:
            yield (
                f"{column.name!r} has the values of {first_with[key]!r}: leave one out, "
                f"drop=[{column.name!r}]"
            )
        first_with.setdefault(key, column.name)
        yield from _about_numbers(column, numbers)
    others = {
        "constant": "one value in all rows",
        "left_out": "not modelled",
    }
    for kind, words in others.items():
        names = [column.name for column in table.schema.columns if column.kind == kind]
        if names:
            yield f"{words}: {shortened(names)}"
    for column, reason in zip(table.schema.columns, table.reasons, strict=False):
        if reason.asks:
            yield f"{column.name!r}: {reason.why}"


def _about_numbers(column: Column, numbers: np.ndarray) -> Iterator[str]:
    """Outliers, and numbers out of float32's range."""
    if column.levels is not None or column.kind == "bernoulli":
        return
    present = numbers[~np.isnan(numbers)].astype(np.float64)
    if len(present) == 0:
        return
    if np.abs(present).max() > LARGEST:
        yield f"{column.name!r} has numbers beyond float32's range, 3.4e38: change its unit"
        return
    median = np.median(present)
    deviations = np.abs(present - median)
    unit = NORMAL * float(np.median(deviations))
    if unit == 0 or column.kind not in {"normal", "laplace"}:
        return
    far = int((deviations > OUTLYING * unit).sum())
    if far:
        worst = float(present[deviations.argmax()]) + column.offset
        yield (
            f"{column.name!r} has values 20 robust standard deviations from the median ({far}), "
            f"such as {worst:.6g}: if they stand for missing cells, missing=[{worst:.6g}]"
        )


def as_toml(table: "Table", source: str, settings: Sequence[str] = ()) -> str:
    """A description to start from: the data, and the kind of each column.

    Arguments:
        table: the rows.
        source: the path of their file.
        settings: how the file is read, such as "data.delimiter=';'".

    Example:
        >>> import pandas as pd
        >>> from pyro_vae.data import table
        >>> print(as_toml(table(pd.DataFrame({"x": [0.5, 2.5]})), "x.csv"))
        latent_dim = 2
        <BLANKLINE>
        [data]
        source = "x.csv"
        <BLANKLINE>
        [columns]
        "x" = "normal"
    """
    lines = [
        f"latent_dim = {max(1, min(8, len(table.names) // 2)) + 1}",
        "",
        "[data]",
        f"source = {_quoted(source)}",
    ]
    if table.schema.label is not None and table.schema.columns[0].dtype != "index":
        lines.append(f"index = {_quoted(table.schema.label)}")
    for setting in settings:
        name, _, value = setting.partition("=")
        if name.startswith("data."):
            lines.append(f"{name.removeprefix('data.')} = {_as_toml_value(value)}")
    lines += ["", "[columns]"]
    for column in table.schema.columns:
        if column.kind in {"label", "constant"}:  # recognised again
            continue
        kind = _quoted(column.kind)
        if column.kind == "ordinal" and column.levels is not None:
            levels = ", ".join(_toml(level) for level in column.levels)
            kind = f'{{ kind = "ordinal", levels = [{levels}] }}'
        lines.append(f"{_quoted(column.name)} = {kind}")
    return "\n".join(lines)


def _as_toml_value(text: str) -> str:
    """A setting as it stands, or quoted where it isn't TOML."""
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return _quoted(text)
    return text


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
