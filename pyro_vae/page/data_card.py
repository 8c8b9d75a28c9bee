"""The data: where they are from, their columns and kinds, and their missing cells."""

import math
from collections.abc import Iterator

import numpy as np

from pyro_vae.analysis.figures.missing_cells import missing_map
from pyro_vae.data.columns import NOT_MODELLED, Column
from pyro_vae.data.inspection_cells import values_of
from pyro_vae.page.html import figure, grid, listing, paragraph, table
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Answers, Subject

MOST = 60
"""Columns with a line of their own."""
ROWS = 400
"""Rows in the missing map: more than it has dots would hide single cells."""
COLUMNS = 40


def data(subject: Subject, answers: Answers) -> str:
    """Sentences on the rows, a line for each column, and the missing map."""
    del answers
    parts = [paragraph(sentence) for sentence in subject.about_rows]
    if subject.vae.spec.table is None:
        parts += [paragraph(sentence) for sentence in _numbers(subject)]
    else:
        parts.append(_columns(subject))
    if subject.remarks:
        parts.append(paragraph("What to look at:"))
        parts.append(listing(subject.remarks))
    parts.append(_missing(subject))
    return "".join(parts)


def _values(subject: Subject) -> tuple[np.ndarray, str]:
    """The numbers whose ranges are shown, and of which rows they are."""
    if subject.table is not None:
        return np.asarray(subject.table.values), "all rows"
    return subject.flat, "the rows of this page"


def _numbers(subject: Subject) -> Iterator[str]:
    """An array without a table, in words."""
    shape = " × ".join(map(str, subject.vae.spec.data_shape))
    x = subject.flat
    present = x[~np.isnan(x)]
    if not present.size:
        return
    size = f"{shape} = {x.shape[1]}" if "×" in shape else shape
    zeros = (present == 0).mean()
    yield (
        f"Each row has {size} numbers, here from {present.min():.4g} to {present.max():.4g} with a "
        f"mean of {present.mean():.4g}; {zeros:.1%} of them are 0."
    )
    yield f"All of them have the likelihood `{subject.vae.spec.likelihood.kind}`."


def _columns(subject: Subject) -> str:
    schema = subject.vae.spec.table
    assert schema is not None
    values, whose = _values(subject)
    why = {}
    if subject.table is not None:
        own = zip(subject.table.schema.columns, subject.table.reasons, strict=False)
        why = {column.name: reason.why for column, reason in own}
    lines = []
    position = 0
    for column in schema.columns:
        numbers = None
        if column.modelled:
            numbers = values[:, position]
            position += 1
        lines.append([*_cells(column, numbers), why.get(column.name, "")])
    left_out = len(lines) - MOST
    caption = f"Columns, with the values of {whose}"
    if left_out > 0:
        caption += f"; the first {MOST} of {len(lines)}"
    head = ["column", "kind", "values", "missing", "why this kind"]
    if not any(why.values()):
        head = head[:-1]
    return table(caption, head, [line[: len(head)] for line in lines[:MOST]])


def _cells(column: Column, numbers: np.ndarray | None) -> list[str]:
    """The name of a column, its kind, its values and the share of its missing cells."""
    if numbers is None:
        kind = (
            column.kind.replace("_", " ")
            if column.kind in NOT_MODELLED
            else column.kind
        )
        return [column.name, f"{kind}, not modelled", "", ""]
    share = float(np.isnan(numbers).mean())
    missing = f"{share:.1%}" if share else "none"
    values = values_of(column, numbers)
    unit = column.unit_and_origin
    if unit and column.origin is None:
        values += f" ({unit})"
    return [column.name, column.kind, values, missing]


def _missing(subject: Subject) -> str:
    """The map of missing cells; a sentence where there are none."""
    values, whose = _values(subject)
    cells = np.isnan(np.asarray(values, dtype=np.float64))
    share = cells.mean() if cells.size else 0.0
    if not share:
        return paragraph(f"No cell is missing in {whose}.")
    step = math.ceil(len(cells) / ROWS)
    shown = cells[::step]
    often = np.argsort(-cells.mean(0), kind="stable")
    columns = np.sort(often[:COLUMNS])
    names = [subject.names[i] for i in columns]
    height = 1.0 + 0.18 * len(columns)
    alt = f"map of missing cells: {share:.1%} of the cells of {len(columns)} columns are missing"
    picture = plot(
        lambda axes: missing_map(axes, shown[:, columns], columns=names),
        alt,
        width=WIDE,
        height=height,
    )
    every = "" if step == 1 else f"; every {step}th row is shown"
    some = (
        ""
        if len(columns) == cells.shape[1]
        else f"; the {COLUMNS} columns with most of them"
    )
    caption = f"Missing cells, {share:.1%} of those of {whose}{every}{some}."
    return grid([figure(picture, caption)], "wide")
