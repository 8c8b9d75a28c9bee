"""The data: where they are from, their columns and kinds, and their missing cells."""

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.missing_cells import missing_map
from pyro_vae.data.columns import Column
from pyro_vae.data.inspection_cells import values_of
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid, listing, paragraph, table
from pyro_vae.page.pictures import WIDE, plot
from pyro_vae.page.subject import Subject

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
    parts += _context(subject)
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
    numbers = iter(values.T)
    lines = [
        _cells(column, next(numbers) if column.modelled else None)
        for column in schema.columns
    ]
    caption = f"Columns, with the values of {whose}"
    if len(lines) > MOST:
        caption += f"; the first {MOST} of {len(lines)}"
    return table(caption, ["column", "kind", "values", "missing"], lines[:MOST])


def _context(subject: Subject) -> Iterator[str]:
    """What is given with the rows: a line for each column of a table, else a sentence."""
    given, contexts = subject.given, subject.contexts
    if given is None or contexts is None:
        return
    if given.table is None:
        present = contexts[~np.isnan(contexts)]
        size = f"{given.size} number" + ("s" if given.size > 1 else "")
        of = (
            f", from {present.min():.4g} to {present.max():.4g}" if present.size else ""
        )
        yield paragraph(f"Each row has {size} more in its context c{of}.")
        return
    pairs = list(zip(given.table.modelled, contexts.T, strict=True))[:MOST]
    caption = "Columns of the context, with the values of the rows of this page"
    if len(pairs) < given.size:
        caption += f"; the first {len(pairs)} of {given.size}"
    head = ["column", "kind", "values", "missing"]
    yield table(caption, head, [_cells(*pair) for pair in pairs])


def _cells(column: Column, numbers: np.ndarray | None) -> list[str]:
    """The name of a column, its kind, its values and the share of its missing cells."""
    if numbers is None:
        kind = column.kind.replace("_", " ")
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
    missing = np.isnan(np.asarray(values, dtype=np.float64))
    if not missing.any():
        return paragraph(f"No cell is missing in {whose}.")
    caption = f"Missing cells, {missing.mean():.1%} of those of {whose}"
    step = math.ceil(len(missing) / ROWS)
    if step > 1:
        caption += f"; one of {step} rows is shown"
    if missing.shape[1] > COLUMNS:
        caption += f"; the {COLUMNS} columns with most of them"
    picture = _missing_map(subject, missing[::step])
    return grid([figure(picture, f"{caption}.")], "wide")


def _missing_map(subject: Subject, missing: np.ndarray) -> str:
    """The map of the columns in which most cells are missing, in the order of the table."""
    often = np.argsort(-missing.mean(0), kind="stable")
    columns = np.sort(often[:COLUMNS])
    names = [subject.names[i] for i in columns]

    def draw(axes: Axes) -> Axes:
        return missing_map(axes, missing[:, columns], columns=names)

    height = 1.0 + 0.18 * len(columns)
    alt = f"map of the missing cells of {len(columns)} columns"
    return plot(draw, alt, width=WIDE, height=height)
