"""Rows that the model draws beside held-out rows: each column, and whole rows."""

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.counts import level_bars, rootogram
from pyro_vae.analysis.figures.ecdf import ecdf_with_band, leaves_band
from pyro_vae.analysis.fitted import has_samples
from pyro_vae.analysis.posterior_checks.predictive import column_p_values
from pyro_vae.analysis.posterior_checks.uniformity import holm
from pyro_vae.page.html import figure, grid, paragraph, table
from pyro_vae.page.pictures import images, plot
from pyro_vae.page.subject import Answers, Subject

MOST = 12
"""Columns that are drawn, those that fit worst."""
SMALL = 0.01
LEVELS = ("bernoulli", "categorical", "ordinal")
NAMED = 5
BAND = (
    "Blue is the data, orange the model. The bands hold all curves of data like the model's with "
    "probability 0.95 or more. Bars of counts hang from the model's curve, and should end within "
    "the dashed lines. Bars of levels have two standard errors."
)
NO_SAMPLES = "The prior of the model can't be drawn from, so there are no samples."


def column_fit(subject: Subject, answers: Answers) -> str:
    """How well each column of drawn rows agrees with the held-out rows."""
    reason = _not_comparable(subject)
    if reason:
        return paragraph(reason)
    rows = subject.flat
    draws = answers.draws
    unordered = [i for i in range(rows.shape[1]) if _kind(subject, i) == "categorical"]
    p = column_p_values(rows, draws, unordered=unordered, seed=subject.seed)
    adjusted = np.full(len(p), np.nan)
    adjusted[~np.isnan(p)] = holm(p[~np.isnan(p)])
    sentence = paragraph(_judged(subject, adjusted, len(draws)))
    if subject.image_shape is not None:
        return sentence + _pixels(subject, draws, adjusted)
    order = np.argsort(np.nan_to_num(p, nan=2.0), kind="stable")
    drawn = [i for i in order if np.isfinite(rows[:, i]).any()][:MOST]
    chosen = sorted(drawn)
    more = ""
    if len(chosen) < rows.shape[1]:
        more = (
            f" The {len(chosen)} of {rows.shape[1]} columns that fit worst are shown."
        )
    level = 1 - 0.05 / len(chosen)
    pictures = [_column(subject, draws, i, adjusted[i], level) for i in chosen]
    return sentence + paragraph(BAND + more, "soft") + grid(pictures)


def _not_comparable(subject: Subject) -> str:
    """Why drawn rows can't be compared with held-out ones; empty where they can."""
    if not has_samples(subject.vae):
        return NO_SAMPLES
    given = "" if subject.measure is None else subject.measure.given
    if given:
        return (
            f"The model describes a row given {given}, which drawn rows have of a typical size, so "
            "their columns are not compared with those of the data."
        )
    return ""


def _kind(subject: Subject, i: int) -> str:
    """The kind of a column: that of the table, or of a likelihood that all columns share."""
    column = subject.schema_columns[i]
    return subject.vae.spec.likelihood.kind if column is None else column.kind


def _judged(subject: Subject, adjusted: np.ndarray, count: int) -> str:
    """Which columns differ, by tests whose number is taken into account."""
    known = ~np.isnan(adjusted)
    bad = [i for i in np.argsort(adjusted, kind="stable") if adjusted[i] < SMALL]
    what = "pixel" if subject.image_shape is not None else "column"
    how = (
        f"{count} rows drawn from the model beside {len(subject.rows)} rows of the data"
    )
    tests = "by tests of the PIT and, for categories, of chi-squared, adjusted by Holm's method"
    if not bad:
        return (
            f"{how}: no {what} of {known.sum()} differs at p < {SMALL}, {tests}. That is a check "
            "of each alone, not of how they depend on each other."
        )
    names = ", ".join(subject.names[i] for i in bad[:NAMED])
    others = ", …" if len(bad) > NAMED else ""
    named = f": {names}{others}" if what == "column" else ""
    return f"{how}: {len(bad)} of {known.sum()} {what}s differ at p < {SMALL}, {tests}{named}."


def _column(subject: Subject, draws: np.ndarray, i: int, p: float, level: float) -> str:
    """One column, drawn as suits its kind."""
    name = subject.names[i]
    offset = subject.offset(i)
    own = subject.flat[:, i] + offset
    other = draws[:, i] + offset
    unit = subject.unit(i) or "value"
    kind = _kind(subject, i)
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    text = "no test" if np.isnan(p) else shown
    measure = subject.measure
    is_mass = measure is not None and i in measure.columns("mass")

    def draw(axes: Axes) -> object:
        if kind in LEVELS:
            return level_bars(axes, own - offset, other - offset, _levels(subject, i))
        if is_mass:
            return rootogram(axes, own, other, xlabel="count")
        return ecdf_with_band(axes, own, other, level=level, xlabel=unit)

    what = "distribution function"
    if kind in LEVELS:
        what = "share of each level"
    elif is_mass:
        what = "rootogram"
    elif leaves_band(own, other, level=level):
        text += ", leaves the band"
    alt = f"{name}: {what} of the data beside the model; {text}"
    return figure(plot(draw, alt), f"{name} ({kind}): {text}")


def _levels(subject: Subject, i: int) -> tuple[object, ...]:
    column = subject.schema_columns[i]
    if column is not None and column.levels is not None:
        return column.levels
    x = subject.flat[:, i]
    return tuple(range(int(max(1, np.nanmax(x))) + 1))


def _pixels(subject: Subject, draws: np.ndarray, adjusted: np.ndarray) -> str:
    """Mean and standard deviation of each pixel, of the data and of the model."""
    shape = subject.image_shape
    assert shape is not None
    pictures = []
    for name, of in (("mean", np.nanmean), ("standard deviation", np.nanstd)):
        both = np.stack([of(subject.flat, axis=0), of(draws, axis=0)])
        alt = f"{name} of each pixel: left the data, right the model"
        largest = float(np.abs(both[0] - both[1]).max())
        picture = images(both, alt, image_shape=shape, columns=2)
        caption = f"{name[0].upper()}{name[1:]} of each pixel, left of the data and right of the "
        caption += f"model; the largest difference is {largest:.2g}."
        pictures.append(figure(picture, caption))
    differs = np.nan_to_num(adjusted, nan=1.0) < SMALL
    gap = np.nanmean(draws, axis=0) - np.nanmean(subject.flat, axis=0)
    largest = max(float(np.abs(gap).max()), 1e-9)
    both = np.stack([gap, np.where(differs, largest, -largest)])
    alt = f"left the difference of the means, right the {differs.sum()} pixels that differ"
    limits = (-largest, largest)
    picture = images(both, alt, image_shape=shape, columns=2, limits=limits)
    caption = "Left: mean of the model minus that of the data, black to white from "
    caption += f"{-largest:.2g} to {largest:.2g}. Right, white: pixels that differ by the tests."
    pictures.append(figure(picture, caption))
    return grid(pictures)


def samples(subject: Subject, answers: Answers) -> str:
    """Rows of the data beside rows that the model draws."""
    if not has_samples(subject.vae):
        return paragraph(NO_SAMPLES)
    if subject.image_shape is not None:
        return _images(subject, answers)
    some = np.linspace(0, len(subject.rows) - 1, min(6, len(subject.rows))).astype(int)
    columns = range(min(len(subject.names), 14))
    head = ["row", *(subject.names[i] for i in columns)]
    lines = [
        [
            f"data, {subject.row_labels[n]}",
            *(subject.cell(i, subject.flat[n, i]) for i in columns),
        ]
        for n in some
    ]
    lines += [
        [f"drawn, {n + 1}", *(subject.cell(i, answers.draws[n, i]) for i in columns)]
        for n in range(6)
    ]
    caption = "Rows of the data, and rows that the model draws"
    if len(columns) < len(subject.names):
        caption += f"; the first {len(columns)} of {len(subject.names)} columns"
    return table(caption, head, lines)


def _images(subject: Subject, answers: Answers) -> str:
    from pyro_vae.analysis import reconstruct

    shape = subject.image_shape
    assert shape is not None
    limits = (float(np.nanmin(subject.flat)), float(np.nanmax(subject.flat)))
    some = np.linspace(0, len(subject.rows) - 1, min(20, len(subject.rows))).astype(int)
    shown = np.asarray(subject.rows)[some]
    rebuilt = reconstruct(subject.vae, shown, as_array=True)
    pairs = [
        (shown, "Rows of the data.", "rows of the data as pictures"),
        (
            rebuilt,
            "Their reconstructions.",
            "reconstructions of these rows, in their order",
        ),
        (
            answers.draws[: len(some)],
            "Rows that the model draws.",
            "rows drawn from the model",
        ),
        (
            answers.means,
            "E[x | z] for z from the prior.",
            "means of rows for drawn codes",
        ),
    ]
    pictures = [
        figure(images(rows, alt, image_shape=shape, limits=limits), caption)
        for rows, caption, alt in pairs
    ]
    return grid(pictures, "four")
