"""Columns that pandas left as text: numbers, truth values or times where all cells are that."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pyro_vae.data.names import shortened
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_dialect import GROUPED, MISSING_AMONG_NUMBERS

BLANKS = " \t\x1a"
"""What may stand around a cell; DOS ends a file with the last one."""
SAMPLE = 1000
PIECE = 50
FEW = 0.2
"""Below this share of cells that are no numbers, a column is one of numbers with mistakes."""
DATE = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}"
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
ZONE = r"(?:Z|[+-]\d{2}:?\d{2})"
ISO_TIME = re.compile(rf"{DATE}(?:[T ]{CLOCK} ?{ZONE}?)?")
DAY_OR_MONTH_FIRST = re.compile(
    rf"\d{{1,2}}([-/.])\d{{1,2}}\1(\d{{4}}|\d{{2}})( {CLOCK})?"
)


@dataclass(frozen=True)
class Settings:
    """How text becomes numbers.

    Attributes:
        decimal: the decimal mark.
        declared: names of columns whose types the user has given; they stay as they are.
        line_of: (position of a column, cell) -> where the cell is, such as its line.
        as_text: a column by name, with all cells as they are in the file.
    """

    decimal: str
    declared: frozenset[str]
    line_of: Callable[[int, str], int]
    as_text: Callable[[str], pd.Series]
    place: str = "line"


def settled(frame: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, list[str]]:
    """The frame with its columns of text as what they are, and a sentence on each change.

    Raises:
        Fault: a column of numbers with a few other cells.
    """
    notes: list[str] = []
    changed: dict[str, pd.Series] = {}
    for position, (name, dtype) in enumerate(frame.dtypes.items()):
        if name in settings.declared or not _is_text(dtype):
            continue
        column = frame[name]
        new, note = _settled_column(column, position, settings)
        if note is not None:
            notes.append(f"column {name!r}: {note}")
        if new is not column:
            changed[name] = new
    if changed:
        frame = frame.assign(**changed)
    return frame, notes


def _is_text(dtype: Any) -> bool:
    return pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype)


def _settled_column(
    column: pd.Series, position: int, settings: Settings
) -> tuple[pd.Series, str | None]:
    if column.dtype == object:
        column, note = _of_one_type(column, settings)
        if note is not None or not _is_text(column.dtype):
            return column, note
    sample = _sample(column)
    if sample.empty:
        return column.astype(float), None
    numbers = _numbers(sample, settings.decimal)
    candidates = sample.isin(["", *MISSING_AMONG_NUMBERS]) | numbers.notna()
    if numbers.notna().any() and candidates.mean() > 0.5:
        return _as_numbers(column, position, settings)
    if sample.str.fullmatch(ISO_TIME).all():
        return _as_times(column)
    return _as_text(column, sample)


def _sample(column: pd.Series) -> pd.Series:
    """Some of the cells: pieces of a long column, which cost no copy."""
    if len(column) > SAMPLE:
        starts = np.linspace(0, len(column) - PIECE, SAMPLE // PIECE).astype(int)
        pieces = pd.concat([column.iloc[start : start + PIECE] for start in starts])
        if pieces.notna().sum() > PIECE:
            column = pieces
    return column.dropna().str.strip(BLANKS)


def _of_one_type(column: pd.Series, settings: Settings) -> tuple[pd.Series, str | None]:
    """A column whose parts pandas took for different types, or whose integers are too large."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "boolean":
        return column.astype("boolean"), None
    if kind in {"integer", "floating", "mixed-integer-float", "decimal"}:
        numbers = column.astype(float)
        if numbers.nunique() < column.nunique():
            why = "text, because its whole numbers have more digits than a number keeps"
            return settings.as_text(str(column.name)), why
        return numbers, None
    if kind in {"string", "empty"}:
        return column.astype("str").where(column.notna()), None
    return settings.as_text(str(column.name)), None


def _numbers(cells: pd.Series, decimal: str) -> pd.Series:
    """The numbers among some cells, nan for the others; thousands may be in groups."""
    cells = cells.str.replace("\u2212", "-")  # the minus sign of typesetters
    plain = cells
    if decimal == ",":
        plain = cells.str.replace(".", "x").str.replace(",", ".")
    numbers = pd.to_numeric(plain, errors="coerce")
    grouped = numbers.isna() & cells.str.fullmatch(GROUPED[decimal], na=False)
    if grouped.any():
        kept = cells[grouped].str.replace(rf"[^-+\d{decimal}]", "", regex=True)
        digits = kept.str.replace(decimal, ".")
        numbers = numbers.astype(float)
        numbers[grouped] = pd.to_numeric(digits)
    return numbers


def _as_numbers(
    column: pd.Series, position: int, settings: Settings
) -> tuple[pd.Series, str | None]:
    """A column of which most cells are numbers."""
    counts = column.str.strip(BLANKS).value_counts()
    cells = pd.Series(counts.index, dtype="str")
    numbers = _numbers(cells, settings.decimal)
    is_missing = cells.isin(["", *MISSING_AMONG_NUMBERS])
    is_bad = numbers.isna() & ~is_missing
    share = counts[is_bad.to_numpy()].sum() / counts.sum()
    if share >= FEW:
        return column, None
    if share > 0:
        _refuse(column, cells[is_bad], 1 - share, position, settings)
    values = column.str.strip(BLANKS).map(dict(zip(cells, numbers, strict=True)))
    whole = (
        values.notna().all() and (values % 1 == 0).all() and values.abs().max() < 2**53
    )
    values = values.astype(np.int64 if whole else float)
    return values, _note_on_numbers(counts, settings.decimal)


def _note_on_numbers(counts: pd.Series, decimal: str) -> str | None:
    """A sentence on cells that are missing and on groups of thousands."""
    marks = counts[counts.index.isin(MISSING_AMONG_NUMBERS)]
    if not marks.empty:
        count = f"{marks.sum()} cells" if marks.sum() > 1 else "1 cell"
        return f"missing: {count} {shortened(list(marks.index))}"
    if counts.index.str.fullmatch(GROUPED[decimal]).any():
        return "numbers, some of them in groups of thousands"
    return None


def _refuse(
    column: pd.Series, bad: pd.Series, share: float, position: int, settings: Settings
) -> None:
    """Raise Fault with the first cell that is no number."""
    stripped = column.str.strip(BLANKS)
    cell = stripped[stripped.isin(bad)].iloc[0]
    name = str(column.name)
    others = str(list(bad.unique()))
    remedy = "missing=[...]"
    if len(others) < 200:
        remedy = f"missing={others}, if they are missing"
    where = f"{settings.place} {settings.line_of(position, cell)}"
    raise Fault(
        f"column {name!r}: expected numbers, as {_percent(share)} of its cells are, got "
        f"{shorten(cell)} in {where}; correct it, or pass {remedy}, or "
        f"dtypes={{{name!r}: 'str'}} for text"
    )


def _percent(share: float) -> str:
    """A share below one, which isn't rounded to 100 %."""
    return f"{min(100 * share, 99.99):.4g} %"


def shorten(text: str) -> str:
    """A cell for a message."""
    return repr(text) if len(text) < 60 else f"{text[:50]!r}..."


def _as_times(column: pd.Series) -> tuple[pd.Series, str | None]:
    """Times in ISO 8601: the year comes first; with zones they are in UTC."""
    has_zone = column.str.contains(rf"{CLOCK} ?{ZONE}$", regex=True).any()
    times = pd.to_datetime(
        column.str.strip(BLANKS), format="ISO8601", errors="coerce", utc=bool(has_zone)
    )
    wrong = times.isna() & column.notna()
    if wrong.any():
        return column, f"text, because {column[wrong].iloc[0]!r} is no time"
    return times, "times, in UTC" if has_zone else "times"


def _as_text(column: pd.Series, sample: pd.Series) -> tuple[pd.Series, str | None]:
    """Text without blanks around it."""
    blanks = tuple(BLANKS)
    if column.str.endswith(blanks).any() or column.str.startswith(blanks).any():
        column = column.str.strip(BLANKS)
        column = column.mask(column == "")
    breaks = column[column.str.contains("\n", regex=False, na=False)]
    if len(breaks):
        return column, f"text with line breaks, such as {shorten(breaks.iloc[0])}"
    if sample.str.fullmatch(DAY_OR_MONTH_FIRST).all():
        return column, (
            f"text, because {sample.iloc[0]!r} does not say which number is the month; write "
            "times as YYYY-MM-DD to have them as times"
        )
    return column, None
