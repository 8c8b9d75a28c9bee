"""Rows that the model draws beside rows of the data."""

from collections.abc import Iterator

import numpy as np

from pyro_vae.analysis import reconstruct
from pyro_vae.analysis.fitted import has_samples
from pyro_vae.page.columns_fit import NO_SAMPLES
from pyro_vae.page.html import figure, grid, paragraph, table
from pyro_vae.page.pictures import images
from pyro_vae.page.subject import Answers, Subject

IMAGES = 20
ROWS = 6
COLUMNS = 14


def samples(subject: Subject, answers: Answers) -> str:
    """Images, or the lines of a table."""
    if subject.image_shape is not None:
        return grid(_images(subject, answers), "four")
    if not has_samples(subject.vae):
        return paragraph(NO_SAMPLES)
    columns = range(min(len(subject.names), COLUMNS))
    chosen = _spread(subject, ROWS)
    lines = [
        _line(subject, f"data, {subject.row_labels[n]}", subject.flat[n])
        for n in chosen
    ]
    lines += [
        _line(subject, f"drawn, {n}", row)
        for n, row in enumerate(answers.draws[:ROWS], 1)
    ]
    caption = "Rows of the data, and rows that the model draws"
    if len(columns) < len(subject.names):
        caption += f"; the first {len(columns)} of {len(subject.names)} columns"
    return table(caption, ["row", *(subject.names[i] for i in columns)], lines)


def _spread(subject: Subject, count: int) -> np.ndarray:
    """The positions of some rows, from the first to the last."""
    last = len(subject.rows) - 1
    return np.linspace(0, last, min(count, last + 1)).astype(int)


def _line(subject: Subject, name: str, row: np.ndarray) -> list[str]:
    cells = [subject.cell(i, number) for i, number in enumerate(row[:COLUMNS])]
    return [name, *cells]


def _images(subject: Subject, answers: Answers) -> Iterator[str]:
    """The data, their reconstructions, and what the model draws, all on the scale of the data."""
    shown = np.asarray(subject.rows)[_spread(subject, IMAGES)]
    rebuilt = reconstruct(subject.vae, shown, as_array=True)
    yield _grid(subject, shown, "Rows of the data.")
    yield _grid(subject, rebuilt, "Their reconstructions, in the same order.")
    if has_samples(subject.vae):
        count = len(shown)
        yield _grid(subject, answers.draws[:count], "Rows that the model draws.")
        means = np.asarray(answers.samples.mean)[:count]
        yield _grid(subject, means, "E[x | z] of the same codes.")


def _grid(subject: Subject, rows: np.ndarray, caption: str) -> str:
    assert subject.image_shape is not None
    alt = f"a grid of {len(rows)} pictures: {caption}"
    picture = images(rows, alt, image_shape=subject.image_shape, limits=subject.limits)
    return figure(picture, caption)
