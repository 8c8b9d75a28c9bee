"""What a page is about: a fitted model, its run and rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.analysis.contexts.naming import cells_of_context, in_words, names_in
from pyro_vae.analysis.figures.images import guess_image_shape
from pyro_vae.analysis.fitted import has_density
from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from pyro_vae.analysis.outliers.columns import names_of
from pyro_vae.data import Table
from pyro_vae.data.cell_text import cell_text
from pyro_vae.data.columns import Column
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.evaluation import (
    contexts_in,
    without_contexts,
)
from pyro_vae.spec import Context
from pyro_vae.vae import VAE


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What a page is about.

    Attributes:
        vae: the fitted model.
        experiment: the description of the run, changed by arguments.
        folder: of the run.
        recorded: what the run has recorded of itself: data, options, versions.
        rows: those of the page, as the model takes them, (n, *data_shape), or with contexts (x, c).
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
    def x(self) -> np.ndarray:
        """The rows without their contexts, (n, *data_shape)."""
        own: np.ndarray = without_contexts(self.vae, self.rows)
        return own.reshape(-1, *self.vae.spec.data_shape)

    @cached_property
    def flat(self) -> np.ndarray:
        """The same, (n, D)."""
        return np.asarray(self.x, dtype=np.float64).reshape(len(self.rows), -1)

    @property
    def given(self) -> Context | None:
        """The context of the model's description."""
        return self.vae.spec.context

    @cached_property
    def contexts(self) -> np.ndarray | None:
        """What is given with each row, (n, C); None for a model without a context."""
        return None if self.given is None else contexts_in(self.vae, self.rows)

    @cached_property
    def context_names(self) -> tuple[str, ...]:
        """A name for each number of a context."""
        return () if self.given is None else names_in(self.given)

    def context_cells(self, row: int) -> list[str]:
        """The context of a row as text, a cell for each of its names."""
        if self.given is None or self.contexts is None:
            return []
        return cells_of_context(self.given, self.contexts[row])

    def context_in_words(self, row: int) -> str:
        """The context of a row, such as "batch = a, age = 40"; empty without one."""
        if self.given is None or self.contexts is None:
            return ""
        return in_words(self.given, self.contexts[row])

    @property
    def code(self) -> str:
        """What a code is called: "u", z without its mean and width in a context, or "z"."""
        return "u" if self.given is not None and self.given.prior else "z"

    @property
    def mean_symbol(self) -> str:
        """What the decoder gives."""
        return "E[x | z]" if self.given is None else "E[x | z, c]"

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
        if known is not None:
            return cell_text(known, number)
        return "missing" if math.isnan(number) else f"{number:.4g}"

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
