"""Rows that the model draws beside rows of the data."""

from collections.abc import Iterator

import numpy as np

from pyro_vae.analysis import reconstruct
from pyro_vae.analysis.fitted import has_samples
from pyro_vae.page.answers import Answers
from pyro_vae.page.columns_fit import NO_SAMPLES
from pyro_vae.page.html import figure, grid, paragraph, table
from pyro_vae.page.pictures import images
from pyro_vae.page.subject import Subject

IMAGES = 20
ROWS = 6
COLUMNS = 14
CONTEXTS = 4


def samples(subject: Subject, answers: Answers) -> str:
    """Images, or the lines of a table."""
    if subject.image_shape is not None:
        return grid(_images(subject, answers), "four")
    if not has_samples(subject.vae):
        return paragraph(NO_SAMPLES)
    columns = range(min(len(subject.names), COLUMNS))
    chosen = _spread(subject, ROWS)
    lines = [
        _line(subject, f"data, {subject.row_labels[n]}", subject.flat[n], n)
        for n in chosen
    ]
    drawn = range(ROWS) if subject.given is None else chosen
    lines += [
        _line(subject, f"drawn, {number}", answers.draws[n], n)
        for number, n in enumerate(drawn, 1)
    ]
    caption = "Rows of the data, and rows that the model draws"
    given = subject.context_names[:CONTEXTS]
    if given:
        caption += f" in the same contexts, {', '.join(given)}"
    if len(columns) < len(subject.names):
        caption += f"; the first {len(columns)} of {len(subject.names)} columns"
    head = ["row", *given, *(subject.names[i] for i in columns)]
    return table(caption, head, lines)


def _spread(subject: Subject, count: int) -> np.ndarray:
    """The positions of some rows, from the first to the last."""
    last = len(subject.rows) - 1
    return np.linspace(0, last, min(count, last + 1)).astype(int)


def _line(subject: Subject, name: str, row: np.ndarray, n: int) -> list[str]:
    """A row, in the context of the row n of the data."""
    cells = [subject.cell(i, number) for i, number in enumerate(row[:COLUMNS])]
    return [name, *subject.context_cells(n)[:CONTEXTS], *cells]


def _images(subject: Subject, answers: Answers) -> Iterator[str]:
    """The data, their reconstructions, and what the model draws, all on the scale of the data."""
    chosen = _spread(subject, IMAGES)
    shown = subject.x[chosen]
    context = None if subject.contexts is None else subject.contexts[chosen]
    rebuilt = reconstruct(subject.vae, shown, context=context, as_array=True)
    yield _grid(subject, shown, "Rows of the data.")
    yield _grid(subject, rebuilt, "Their reconstructions, in the same order.")
    if has_samples(subject.vae):
        drawn, where = np.arange(len(shown)), ""
        if context is not None:
            drawn, where = chosen, ", each in the context of the row in its place"
        yield _grid(subject, answers.draws[drawn], f"Rows that the model draws{where}.")
        means = np.asarray(answers.samples.mean)[drawn]
        yield _grid(subject, means, f"{subject.mean_symbol} of the same codes.")


def _grid(subject: Subject, rows: np.ndarray, caption: str) -> str:
    assert subject.image_shape is not None
    alt = f"a grid of {len(rows)} pictures: {caption}"
    picture = images(rows, alt, image_shape=subject.image_shape, limits=subject.limits)
    return figure(picture, caption)
