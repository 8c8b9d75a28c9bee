"""What a table holds, column by column, and what is odd about it."""

import itertools
import json
import tomllib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.data.coding import LARGEST
from pyro_vae.data.columns import CONSTANT, Column
from pyro_vae.data.inspection_cells import aligned, counted, values_of
from pyro_vae.data.names import shortened
from pyro_vae.data.summary_statistics import NORMAL
from pyro_vae.data.wide_tables import AS_ALL

if TYPE_CHECKING:
    from pyro_vae.data.tables import Table

FEW_ROWS = 50
OUTLYING = 20.0
"""Robust standard deviations from the median: a normal column has none beyond 6 in 1e9 rows."""
NINES = frozenset(10.0**digits - 1 for digits in range(2, 9))
"""Values that stand for missing ones in many tables of counts."""
ALIKE = 12
"""Longer runs of columns that are alike are cut."""
HEADER = ("column", "dtype", "kind", "values", "missing", "because")


def summary(table: "Table") -> str:
    """A table of the columns: name, dtype, kind, values, missing share, and why that kind.

    Of many columns that are alike, the first and the last are shown.

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
    lines = [f"{counted(rows, 'row')}, {counted(width, 'column')} to model"]
    lines += [f"note: {note}" for note in table.notes]
    lines += aligned([HEADER, *_shown(_described(table))])
    return "\n".join(lines)


def _described(table: "Table") -> list[Sequence[str]]:
    """A line of cells for each column."""
    position = 0
    why = {
        column.name: reason.why
        for column, reason in zip(table.schema.columns, table.reasons, strict=False)
    }
    lines: list[Sequence[str]] = []
    for column in table.schema.columns:
        values, missing = "", ""
        if column.modelled:
            numbers = table.values[:, position]
            values = values_of(column, numbers)
            missing = f"{100 * float(np.isnan(numbers).mean()):.2g} %"
            position += 1
        kind = column.kind.replace("_", " ") if not column.modelled else column.kind
        reason = why.get(column.name, "")
        lines.append((column.name, column.dtype, kind, values, missing, reason))
    return lines


def _shown(lines: list[Sequence[str]]) -> list[Sequence[str]]:
    """The lines, those in the middle of a long run of columns that are alike left out."""
    shown: list[Sequence[str]] = []
    for _, run in itertools.groupby(lines, key=lambda line: (*line[1:3], line[5])):
        alike = list(run)
        left_out = len(alike) - 3
        if len(alike) <= ALIKE:
            shown += alike
            continue
        shown += alike[:2]
        shown.append(("…", *alike[0][1:3], f"{left_out} more columns", "", ""))
        shown.append(alike[-1])
    return shown


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
        yield (
            f"only {counted(rows, 'row')}: a model of so few is hardly better than independent "
            "columns"
        )
    equal = _equal_rows(table.values)
    if equal:
        are = "is" if equal == 1 else "are"
        yield f"{equal} of {rows} rows {are} equal to another row"
    missing = table.missing
    if missing:
        cells = counted(sum(missing.values()), "missing cell")
        columns = "column" if len(missing) == 1 else "columns"
        yield f"{cells} in the {columns} {shortened(list(missing))}"


def _equal_rows(values: np.ndarray) -> int:
    """The number of rows that repeat another one; a hash of 64 bits stands for each row.

    Two different rows of a million have the same hash with a probability of about 3e-8.
    """
    import pandas as pd

    rows = pd.DataFrame(values + 0.0)  # -0.0 becomes 0.0
    return int(pd.util.hash_pandas_object(rows, index=False).duplicated().sum())


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
    constant = [one.name for one in table.schema.columns if one.kind == CONSTANT]
    if constant:
        yield f"{shortened(constant)}: one value in all rows, not modelled"
    by_question: dict[str, list[str]] = {}
    for column, reason in zip(table.schema.columns, table.reasons, strict=False):
        if reason.asks:
            by_question.setdefault(reason.asks, []).append(column.name)
    for question, names in by_question.items():
        yield f"{shortened(names)}: {question}"


def _about_numbers(column: Column, numbers: np.ndarray) -> Iterator[str]:
    """Outliers, and numbers out of float32's range."""
    if column.levels is not None or column.kind == "bernoulli":
        return
    present = numbers[np.isfinite(numbers)].astype(np.float64)
    if len(present) == 0:
        return
    if np.abs(present).max() > LARGEST:
        yield f"{column.name!r} has numbers beyond float32's range, 3.4e38: change its unit"
        return
    if column.kind in {"normal", "laplace"}:
        yield from _about_outliers(column, present)
    elif present.max() in NINES:
        yield from _about_nines(column, present)


def _about_outliers(column: Column, present: np.ndarray) -> Iterator[str]:
    """Numbers far from the median; those that repeat may stand for missing cells."""
    deviations = np.abs(present - np.median(present))
    unit = NORMAL * float(np.median(deviations))
    far = deviations > OUTLYING * unit
    if unit == 0 or not far.any():
        return
    worst = float(present[deviations.argmax()])
    repeats = int((present == worst).sum())
    value = f"{worst + column.offset:.6g}"
    count = counted(int(far.sum()), "value")
    remedy = "check it"
    if repeats > 1:
        remedy = f"if {value} stands for a missing cell, missing=[{value}]"
    yield (
        f"{column.name!r} has {count} more than {OUTLYING:.0f} robust standard deviations from the "
        f"median, such as {value}: {remedy}"
    )


def _about_nines(column: Column, present: np.ndarray) -> Iterator[str]:
    """A largest value of nines that repeats, far above all others."""
    largest = float(present.max())
    others = present[present < largest]
    repeats = len(present) - len(others)
    if repeats > 1 and len(others) and others.max() < largest / 2:
        yield (
            f"{column.name!r} has {repeats} times {largest:.0f}, and no other value above "
            f"{others.max():g}: if it stands for a missing cell, missing=[{largest:.0f}]"
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
        [data]
        source = "x.csv"
        <BLANKLINE>
        [columns]
        "x" = "normal"
    """
    lines = ["[data]", f"source = {_quoted(source)}"]
    for setting in settings:
        name, _, value = setting.partition("=")
        if name.startswith("data."):
            lines.append(f"{name.removeprefix('data.')} = {_as_toml_value(value)}")
    lines += ["", "[columns]"]
    as_all = {
        column.name
        for column, reason in zip(table.schema.columns, table.reasons, strict=False)
        if reason.why.startswith(AS_ALL)
    }
    if as_all:
        kind = next(one.kind for one in table.schema.columns if one.name in as_all)
        lines.append(
            f"# {counted(len(as_all), 'other column')}: {kind}, recognised again"
        )
    for column in table.schema.columns:
        if column.kind in {"label", "constant"} or column.name in as_all:
            continue  # recognised again
        kind = _kind_as_toml(column)
        lines.append(f"{_quoted(column.name)} = {kind}")
    return "\n".join(lines)


def _kind_as_toml(column: Column) -> str:
    """The kind of a column, with its options and the order of its levels where it has them."""
    options = dict(column.options)
    if column.kind == "ordinal" and column.levels is not None:
        options["levels"] = list(column.levels)
    if not options:
        return _quoted(column.kind)
    pairs = {"kind": column.kind, **options}
    inside = ", ".join(f"{name} = {_toml(value)}" for name, value in pairs.items())
    return f"{{ {inside} }}"


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
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
