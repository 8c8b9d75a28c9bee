"""Tables with names of columns: text (.csv, .tsv, .amat) and Parquet."""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.data.stored import Contents, Fault, in_memory

Opener = Callable[..., Any]


def read_parquet(path: Path) -> Contents:
    """The columns of a Parquet file, all of them numbers; a missing number is nan."""
    import pandas as pd

    frame = pd.read_parquet(path)
    for name, dtype in frame.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype):
            raise Fault(
                f"expected numbers in column {name!r}, got {dtype}; drop it or encode it as numbers"
            )
    values = frame.to_numpy()
    if values.dtype == object:
        values = frame.to_numpy(dtype=float, na_value=np.nan)
    return Contents({"": in_memory(values)}, columns=tuple(map(str, frame.columns)))


def read_text(path: Path, opener: Opener, delimiter: str | None) -> Contents:
    """Lines of numbers; the first line is a header when none of its cells is a number."""
    with opener(path, "rt", encoding="utf-8-sig") as text:
        table: Iterator[list[str]] = map(str.split, text)
        if delimiter is not None:
            table = csv.reader(text, delimiter=delimiter)
        lines = filter(None, table)
        first = [cell.strip() for cell in next(lines, [""])]
        has_header = all(_number(cell) is None for cell in first)
        rows = lines if has_header else itertools.chain([first], lines)
        numbers = _parse(rows, 1 + has_header, len(first))
        values = np.fromiter(numbers, np.dtype((float, (len(first),))))
    columns = tuple(first) if has_header else None
    return Contents({"": in_memory(values)}, columns)


def _parse(
    table: Iterable[list[str]], start: int, width: int
) -> Iterator[list[float | None]]:
    for row, cells in enumerate(table, start):
        numbers = [_number(cell) for cell in cells]
        if None in numbers:
            column = numbers.index(None)
            got = f"{cells[column]!r} in row {row}, column {column + 1}"
            raise Fault(
                f"expected numbers below at most one row of names, got {got}; write nan for a "
                "missing number"
            )
        if len(cells) != width:
            raise Fault(
                f"expected {width} columns as in row 1, got {len(cells)} in row {row}; correct "
                "that row"
            )
        yield numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
