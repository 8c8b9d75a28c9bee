"""Each column of rows that the model draws beside that of held-out rows."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.counts import level_bars, rootogram
from pyro_vae.analysis.figures.ecdf import ecdf_with_band, leaves_band
from pyro_vae.analysis.fitted import has_samples
from pyro_vae.analysis.posterior_checks.predictive import column_p_values
from pyro_vae.analysis.posterior_checks.uniformity import holm
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid, paragraph
from pyro_vae.page.pictures import plot
from pyro_vae.page.pixels import pixels
from pyro_vae.page.subject import Subject

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
TESTS = (
    "by smooth tests of the probability integral transform (chi-squared tests for categories), "
    "adjusted for their number by Holm's method"
)


@dataclass(frozen=True, eq=False)
class Compared:
    """One column of the data and of the model, as numbers of the model.

    Attributes:
        subject: whose column it is.
        column: its position.
        draws: the column of drawn rows, (m,).
        p: the adjusted p-value that both have one distribution; nan without a test.
        level: of the band.
    """

    subject: Subject
    column: int
    draws: np.ndarray
    p: float
    level: float

    @property
    def data(self) -> np.ndarray:
        """The column of the rows, (n,)."""
        return self.subject.flat[:, self.column]

    @property
    def kind(self) -> str:
        return self.subject.kind(self.column)

    @property
    def is_count(self) -> bool:
        """Whether its values are whole numbers with a probability each."""
        measure = self.subject.measure
        return measure is not None and self.column in measure.columns("mass")

    @property
    def levels(self) -> tuple[object, ...]:
        """The names of its levels, or their numbers."""
        known = self.subject.schema_columns[self.column]
        if known is not None and known.levels is not None:
            return known.levels
        both = np.append(self.data, self.draws)
        return tuple(range(int(max(1, np.nanmax(both))) + 1))

    @property
    def result(self) -> str:
        """What the test found, and whether the curve leaves its band."""
        text = f"p = {self.p:.2g}" if self.p >= 0.001 else "p < 0.001"
        if np.isnan(self.p):
            text = "no test"
        is_curve = self.kind not in LEVELS and not self.is_count
        if is_curve and leaves_band(self.data, self.draws, level=self.level):
            text += ", leaves the band"
        return text

    def draw(self, axes: Axes) -> Axes:
        """The picture that suits the kind of the column, in the units of the table."""
        if self.kind in LEVELS:
            return level_bars(axes, self.data, self.draws, self.levels)
        offset = self.subject.offset(self.column)
        data = self.data + offset
        draws = self.draws + offset
        if self.is_count:
            return rootogram(axes, data, draws, xlabel="count")
        unit = self.subject.unit(self.column) or "value"
        return ecdf_with_band(axes, data, draws, level=self.level, xlabel=unit)


def column_fit(subject: Subject, answers: Answers) -> str:
    """How well each column of drawn rows agrees with the held-out rows."""
    reason = _not_comparable(subject)
    if reason:
        return paragraph(reason)
    p = _p_values(subject, answers.draws)
    sentence = paragraph(_judged(subject, p, len(answers.draws)))
    if subject.given is not None:
        sentence += paragraph(_contexts(subject), "soft")
    if subject.image_shape is not None:
        return sentence + pixels(subject, answers.draws, p < SMALL)
    return sentence + _pictures(subject, answers.draws, p)


def _not_comparable(subject: Subject) -> str:
    """Why drawn rows can't be compared with held-out ones; empty where they can."""
    if not has_samples(subject.vae):
        return NO_SAMPLES
    given = "" if subject.measure is None else subject.measure.given_in_rows
    if given:
        return (
            f"The model describes a row given {given}, which drawn rows have of a typical size, so "
            "their columns are not compared with those of the data."
        )
    return ""


def _contexts(subject: Subject) -> str:
    """In which contexts rows are drawn."""
    drawn = "As many rows are drawn in the context of each row of the data"
    if subject.given is not None and subject.given.label is not None:
        drawn += ", with a label from p(y) where it is unknown"
    return f"{drawn}: the columns agree where both have the same mixture over contexts."


def _p_values(subject: Subject, draws: np.ndarray) -> np.ndarray:
    """The p-value of each column, adjusted for their number; nan where there is no test."""
    columns = range(len(subject.names))
    unordered = [i for i in columns if subject.kind(i) == "categorical"]
    p = column_p_values(subject.flat, draws, unordered=unordered, seed=subject.seed)
    is_known = ~np.isnan(p)
    p[is_known] = holm(p[is_known])
    return p


def _judged(subject: Subject, p: np.ndarray, count: int) -> str:
    """Which columns differ."""
    bad = [i for i in np.argsort(p, kind="stable") if p[i] < SMALL]
    what = "column" if subject.image_shape is None else "pixel"
    limit = f"p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}{SMALL}"
    how = (
        f"{count} rows drawn from the model beside {len(subject.rows)} rows of the data"
    )
    known = int((~np.isnan(p)).sum())
    if not bad:
        return (
            f"{how}: no {what} of {known} differs at {limit}, {TESTS}. That is a check of each "
            "alone, not of how they depend on each other."
        )
    differ = f"{how}: {len(bad)} of {known} {what}s differ at {limit}, {TESTS}"
    if subject.image_shape is not None:
        return f"{differ}."
    names = [subject.names[i] for i in bad[:NAMED]]
    if len(bad) > NAMED:
        names.append("…")
    return f"{differ}: {', '.join(names)}."


def _pictures(subject: Subject, draws: np.ndarray, p: np.ndarray) -> str:
    """The columns that fit worst, in the order of the table."""
    order = np.argsort(np.nan_to_num(p, nan=2.0), kind="stable")
    chosen = sorted(i for i in order[:MOST] if np.isfinite(subject.flat[:, i]).any())
    about = BAND
    if len(chosen) < len(p):
        about += f" The {len(chosen)} of {len(p)} columns that fit worst are shown."
    level = 1 - 0.05 / len(p)
    compared = [Compared(subject, i, draws[:, i], p[i], level) for i in chosen]
    return paragraph(about, "soft") + grid(_picture(one) for one in compared)


def _picture(one: Compared) -> str:
    name = one.subject.names[one.column]
    result = one.result
    alt = f"{name}: distribution of the data beside that of the model; {result}"
    return figure(plot(one.draw, alt), f"{name} ({one.kind}): {result}")
