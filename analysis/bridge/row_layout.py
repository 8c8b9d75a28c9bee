"""How the rows of a model lie in a tree: as which variables, with which names and labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae.analysis.bridge.column_variables import ColumnVariables, variable_names
from pyro_vae.analysis.bridge.coordinates import feature_coordinate
from pyro_vae.analysis.fitted import as_numpy
from pyro_vae.analysis.marginal_likelihood.measure import measure_of
from pyro_vae.analysis.results.tables import column_names
from pyro_vae.data import Schema
from pyro_vae.data.row_labels import row_labels
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class RowLayout:
    """The variables, names and labels of some rows.

    Attributes:
        table: which numbers of a row become which variables.
        names: of the numbers of a row; None where they have none.
        labels: of the rows; None where they have none.
        offsets: that a table's columns were shifted by, (columns,); None where there are none.
    """

    table: ColumnVariables
    names: Sequence[str] | None
    labels: Sequence[Any] | None
    offsets: np.ndarray | None

    @classmethod
    def of(
        cls,
        vae: VAE,
        x: Any,
        columns: Sequence[str] | None,
        rows: Sequence[Any] | None,
    ) -> "RowLayout":
        """The layout of rows x, with names and labels that are given or else those of x.

        Raises:
            ValueError: names that don't match.
        """
        schema = vae.spec.table
        if columns is None:
            names = _own_names(vae, x)
        else:
            names = list(columns)
            _check_names(names, schema)
        labels = row_labels(x, schema) if rows is None else list(rows)
        is_shifted = schema is not None and bool(schema.offsets.any())
        offsets = schema.offsets if schema is not None and is_shifted else None
        return cls(_column_variables(vae, names), names, labels, offsets)

    def variables(self, x: Tensor | np.ndarray) -> Mapping[str, np.ndarray]:
        """The modelled columns of rows, (..., *data_shape), in the units of the data."""
        numbers = as_numpy(x) if isinstance(x, Tensor) else x
        if self.offsets is not None:
            numbers = numbers.astype(np.float64) + self.offsets
        return self.table.variables(numbers)

    @property
    def features(self) -> Sequence[str | int] | None:
        """The coordinate of the features of x; None for integers from 0 and where there is no x."""
        if self.table.are_several or (self.names is None and not self.table.given):
            return None
        modelled = self.table.modelled
        return [
            column if self.names is None else self.names[column] for column in modelled
        ]


def _check_names(names: list[str], schema: Schema | None) -> None:
    if schema is not None and names != list(schema.names):
        raise ValueError(
            f"columns: expected those of the model, {list(schema.names)}, got {names}; leave "
            "columns= out, or rename the variables of the tree"
        )


def _own_names(vae: VAE, x: Any) -> list[str] | None:
    """The names that the model or the data have for the numbers of a row."""
    if vae.spec.table is not None:
        return list(vae.spec.table.names)
    names = column_names(x)
    if names is None or vae.spec.data_shape != (len(names),):
        return None
    return names


def _column_variables(vae: VAE, names: Sequence[str] | None) -> ColumnVariables:
    """How the rows of a model become variables, by the support of each column."""
    shape = vae.spec.data_shape
    columns = range(math.prod(shape))
    if names is not None:
        names = feature_coordinate(names, shape[0] if len(shape) == 1 else None)
    variables = variable_names(names, len(columns))
    measure = measure_of(vae)
    if measure is None:
        return ColumnVariables(real=tuple(columns), names=variables)
    whole = measure.columns("mass")
    real = measure.columns("density")
    if whole and len(whole) < len(columns) and len(shape) > 1:
        return ColumnVariables(real=tuple(columns), names=variables)
    given = set(columns).difference(whole, real)
    return ColumnVariables(tuple(whole), tuple(real), tuple(sorted(given)), variables)
