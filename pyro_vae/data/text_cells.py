"""Columns that pandas left as text: numbers, truth values or times where all cells are that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pyro_vae.data.names import shortened
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_dialect import GROUPED, MISSING_AMONG_NUMBERS
from pyro_vae.data.text_numbers import BLANKS, mark_of, numbers_of
from pyro_vae.data.text_times import as_times

SAMPLE = 1000
PIECE = 50
FEW = 0.2
"""Below this share of cells that are no numbers, a column is one of numbers with mistakes."""


@dataclass(frozen=True)
class Settings:
    """How text becomes numbers.

    Attributes:
        decimal: the decimal mark.
        declared: names of columns whose types the user has given; they stay as they are.
        line_of: (position of a column, cell) -> where the cell is, such as its line.
        as_text: a column by name, with all cells as they are in the file.
        row_word: what the file's rows are counted in, "line" or "row".
    """

    decimal: str
    declared: frozenset[str]
    line_of: Callable[[int, str], int]
    as_text: Callable[[str], pd.Series]
    row_word: str = "line"


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
    mark = mark_of(sample)
    numbers = numbers_of(sample, settings.decimal, mark)
    candidates = sample.isin(["", *MISSING_AMONG_NUMBERS]) | numbers.notna()
    if numbers.notna().any() and candidates.mean() > 0.5:
        return _as_numbers(column, position, mark, settings)
    found = as_times(column, sample)
    if found is not None:
        return found
    return _as_text(column)


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


def _as_numbers(
    column: pd.Series, position: int, mark: str | None, settings: Settings
) -> tuple[pd.Series, str | None]:
    """A column of which most cells are numbers."""
    counts = column.str.strip(BLANKS).value_counts()
    cells = pd.Series(counts.index, dtype="str")
    numbers = numbers_of(cells, settings.decimal, mark)
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
    notes = [] if mark is None else [f"numbers without their {mark!r}"]
    if counts.index.str.fullmatch(GROUPED[settings.decimal]).any():
        notes.append("numbers, some of them in groups of thousands")
    marks = counts[counts.index.isin(MISSING_AMONG_NUMBERS)]
    if len(marks):
        count = f"{marks.sum()} cells" if marks.sum() > 1 else "1 cell"
        notes.append(f"missing: {count} {shortened(list(marks.index))}")
    strange = [cell for cell in cells[~is_missing] if not _is_plain(cell)]
    if strange and not notes:
        notes.append(f"numbers such as {strange[0]!r}")
    return values, "; ".join(notes) or None


def _is_plain(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
    where = f"{settings.row_word} {settings.line_of(position, cell)}"
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


def _as_text(column: pd.Series) -> tuple[pd.Series, str | None]:
    """Text without blanks around it."""
    blanks = tuple(BLANKS)
    if column.str.endswith(blanks).any() or column.str.startswith(blanks).any():
        column = column.str.strip(BLANKS)
        column = column.mask(column == "")
    breaks = column[column.str.contains("\n", regex=False, na=False)]
    if len(breaks):
        return column, f"text with line breaks, such as {shorten(breaks.iloc[0])}"
    return column, None
