"""What a page is about: a fitted model, its run and rows, and what is computed from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_vae.analysis import Evidence, Samples, evidence, sample
from pyro_vae.analysis.figures.images import guess_image_shape
from pyro_vae.analysis.fitted import has_density
from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from pyro_vae.analysis.outliers.columns import names_of
from pyro_vae.analysis.report.checks import checkup_given
from pyro_vae.analysis.report.results import Checkup
from pyro_vae.data import Table
from pyro_vae.data.columns import Column
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.evaluation import HOW, Metrics, evaluate
from pyro_vae.inputs import rows_of
from pyro_vae.vae import VAE

FITTED_ROWS = 60
"""Fitted rows whose log p(x) is compared with that of held-out rows."""
DRAWN_PER_ROW = 20
FEWEST_DRAWN = 2000
MOST_NUMBERS = 20_000_000
"""Rows that the model draws: 20 for each held-out row, at least 2000, as far as memory allows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What a page is about.

    Attributes:
        vae: the fitted model.
        experiment: the description of the run, changed by arguments.
        folder: of the run.
        recorded: what the run has recorded of itself: data, options, versions.
        rows: those of the page, as the model takes them, (n, *data_shape).
        row_labels: their names; their numbers in the source where they have none.
        classes: known classes of the rows, for the colours of the latent map.
        columns: the names of the columns, where they have some.
        table: the whole table of which the rows are some, where there is one.
        fitted: some rows that the model was fitted to; None where they aren't known.
        history: a record for each epoch; empty where the run has none.
        about_rows: sentences on where the rows are from.
        remarks: sentences on how the data were read, and what is odd about them.
        arguments: the words of the command that makes the page again.
        data_arguments: those of them that name other rows than those of the run.
    """

    vae: VAE
    experiment: Experiment
    folder: Path
    recorded: Mapping[str, Any]
    rows: np.ndarray
    row_labels: Sequence[str]
    classes: np.ndarray | None
    columns: tuple[str, ...] | None
    table: Table | None
    fitted: np.ndarray | None
    history: Sequence[Mapping[str, float]]
    about_rows: Sequence[str]
    remarks: Sequence[str]
    arguments: Sequence[str]
    data_arguments: Sequence[str] = ()

    @cached_property
    def seed(self) -> int:
        """Of all draws."""
        return self.experiment.evaluate.seed

    @cached_property
    def flat(self) -> np.ndarray:
        """The rows, (n, D)."""
        return np.asarray(self.rows, dtype=np.float64).reshape(len(self.rows), -1)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each number of a row, (D,)."""
        schema = self.vae.spec.table
        named = self.columns if schema is None else schema.names
        return names_of(named, self.vae.spec.data_shape)

    @cached_property
    def image_shape(self) -> tuple[int, ...] | None:
        """The shape of a row as a picture; None of a table."""
        is_table = self.columns is not None or self.vae.spec.table is not None
        return None if is_table else guess_image_shape(self.vae.spec.data_shape)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number: black and white of pictures."""
        return float(np.nanmin(self.flat)), float(np.nanmax(self.flat))

    @cached_property
    def schema_columns(self) -> tuple[Column | None, ...]:
        """What is known of each column; None where the model knows no table."""
        schema = self.vae.spec.table
        return (None,) * len(self.names) if schema is None else schema.modelled

    @cached_property
    def measure(self) -> Measure | None:
        return measure_of(self.vae)

    @cached_property
    def is_density(self) -> bool:
        """Whether the model has a log p(x)."""
        return has_density(self.vae)

    def cell(self, column: int, number: float) -> str:
        """A cell as it stands in the table.

        Arguments:
            column: its position.
            number: of the model, nan where missing.
        """
        known = self.schema_columns[column]
        if math.isnan(number):
            return "missing"
        if known is None:
            return f"{number:.4g}"
        return _decoded(known, number)

    def kind(self, column: int) -> str:
        """The kind of a column: that of the table, or of a likelihood that all columns share."""
        known = self.schema_columns[column]
        return self.vae.spec.likelihood.kind if known is None else known.kind

    def offset(self, column: int) -> float:
        """What a column has more than the numbers of the model."""
        known = self.schema_columns[column]
        return 0.0 if known is None else known.offset

    def unit(self, column: int) -> str:
        """The unit of a column, where it is known."""
        known = self.schema_columns[column]
        return "" if known is None else known.unit_and_origin


def _decoded(column: Column, number: float) -> str:
    """A cell of a column as text: a level, a time, or a number."""
    shown = column.decoded(np.array([number]))[0]
    if column.origin is not None:
        to_the = "D" if column.unit == "days" else "s"
        return str(shown.astype(f"datetime64[{to_the}]")).replace("T", " ")
    if column.levels is not None or column.unit is not None:
        return str(shown)
    return f"{shown:.4g}" if abs(shown) < 1e4 else f"{shown:,.0f}"


class Answers:
    """What is computed for a page, each when it is first asked for.

    Arguments:
        subject: what the page is about.
        progress: whether to show bars.
    """

    def __init__(self, subject: Subject, progress: bool | None = None) -> None:
        self.subject = subject
        self.progress = progress

    @cached_property
    def evaluation(self) -> tuple[Metrics, Evidence | None]:
        """The metrics and log p(x) of the rows, as `pyro-vae evaluate` has them."""
        subject = self.subject
        every = subject.experiment.evaluate.model_copy(update={"rows": None})
        return evaluate(subject.vae, subject.rows, every, progress=self.progress)

    @cached_property
    def checkup(self) -> Checkup:
        """The checks of `pyro-vae check` for these rows, whose log p(x) is known."""
        subject = self.subject
        rows = torch.cat(list(rows_of(subject.vae, subject.rows, "rows")))
        _, found = self.evaluation
        how: dict[str, Any] = {"seed": subject.seed, "progress": False}
        return checkup_given(subject.vae, rows, found, **how)

    @cached_property
    def fitted(self) -> Evidence | None:
        """log p(x) of fitted rows; None where none are known, or it doesn't exist."""
        subject = self.subject
        if subject.fitted is None or not subject.is_density:
            return None
        random = np.random.default_rng(subject.seed)
        count = min(FITTED_ROWS, len(subject.fitted))
        chosen = np.sort(random.choice(len(subject.fitted), count, replace=False))
        options = subject.experiment.evaluate
        return evidence(
            subject.vae,
            subject.fitted[chosen],
            **{name: getattr(options, name) for name in HOW},
            progress=self.progress,
        )

    @cached_property
    def samples(self) -> Samples:
        """Rows that the model draws, in its own numbers, with their E[x | z], (m, *data_shape)."""
        size = max(1, len(self.subject.names))
        wanted = max(FEWEST_DRAWN, DRAWN_PER_ROW * len(self.subject.rows))
        count = min(wanted, max(100, MOST_NUMBERS // size))
        return sample(self.subject.vae, count, seed=self.subject.seed, as_array=True)

    @cached_property
    def draws(self) -> np.ndarray:
        """The rows of `samples`, (m, D)."""
        drawn = np.asarray(self.samples.x, dtype=np.float64)
        return drawn.reshape(len(drawn), -1)
