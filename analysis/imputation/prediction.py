"""Columns of a table given the others: probabilities of categories, intervals of numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_vae.analysis.fitted import as_numpy, require_at_random
from pyro_vae.analysis.imputation.cells import LEVELS, Cells
from pyro_vae.analysis.imputation.conditional import categories_of
from pyro_vae.analysis.imputation.ensembles import ensemble_cells, members_of
from pyro_vae.analysis.imputation.imputing import warn_of_untrusted
from pyro_vae.analysis.imputation.results import Imputation
from pyro_vae.analysis.imputation.tables import Holes, in_units, level_names
from pyro_vae.analysis.marginal_likelihood.observed import column_positions
from pyro_vae.analysis.results.answer import dataframe_of_rows
from pyro_vae.analysis.results.tables import column_labels
from pyro_vae.arguments import public
from pyro_vae.data import Schema
from pyro_vae.data.columns import Column
from pyro_vae.data.frames import is_frame, opened
from pyro_vae.data.row_labels import row_labels
from pyro_vae.inputs import missing_cells, model_rows, own_part, rows_of
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["predict"]


@public
def predict(
    vae: VAE | Sequence[VAE],
    x: Any,
    *,
    columns: Sequence[str | int],
    context: Any = None,
    num_particles: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> "DataFrame":
    """p(x_a | x_b) of some columns a given the other observed cells b, for each row.

    The columns are taken as missing, also where they are not: a class is a column that is predicted
    from the others. A DataFrame may lack them. With a context it is p(x_a | x_b, c), where an
    unknown label in c is the most probable one given x_b. See `impute` for the method, and for what
    is assumed.

    Arguments:
        vae: a fitted model with missing="at_random", or a list of several.
        x: rows, (n, *data_shape), or a table.
        columns: a, by name or by position in the flattened row.
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_particles: draws of z for each row, and model.
        seed: of the draws.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        A pandas DataFrame with one line for each row. A column of categories has its most probable
        level, and the probability of each as "column[level]"; one of numbers has its mean, and
        "column[sd]" and quantiles "column[5%]" and so on. "pareto_k" is above 0.7 where a row is
        not to be trusted.

    Raises:
        ValueError: a model that knows no missing cells, unknown columns, rows that don't fit.

    Example:
        >>> vae = VAE(data_shape=(2,), latent_dim=1, missing="at_random")
        >>> predict(vae, torch.zeros(3, 2), columns=[1]).shape
        (3, 10)
    """
    members = members_of(vae, "predict", num_particles)
    first = members[0]
    require_at_random(first, "predict")
    schema = first.spec.table
    size = torch.Size(first.spec.data_shape).numel()
    names = column_labels(x, schema)
    known = None if names is None else [str(name) for name in names]
    positions = column_positions(columns, known, size, "columns")
    _require_whole_groups(first, positions)
    if schema is not None and is_frame(x):
        x = _with_columns(x, schema, [schema.modelled[one] for one in positions])
    whole = model_rows(first, x, context=context)
    rows = torch.cat(list(rows_of(first, whole, "x"))).clone()
    rows.flatten(1)[:, positions] = torch.nan
    found = ensemble_cells(
        members,
        rows,
        num_particles=num_particles,
        num_imputations=0,
        seed=seed,
        progress=progress,
    )
    labels = row_labels(x, schema)
    categories = categories_of(first)
    own = own_part(first, rows)
    holes = Holes.of(own, as_numpy(own), schema, labels)
    warn_of_untrusted(Imputation(found, holes, categories), "predict")
    answers: dict[str, np.ndarray] = {}
    for position in positions:
        cells = found.cells.take(found.cells.column == position)
        column = None if schema is None else schema.modelled[position]
        name = str(position) if known is None else known[position]
        answers |= _numbers(name, column, cells, categories.get(position))
    return dataframe_of_rows({**answers, "pareto_k": found.pareto_k}, labels)


def _numbers(
    name: str, column: Column | None, cells: Cells, categories: int | None
) -> Mapping[str, np.ndarray]:
    """What is known of one column, one entry for each row."""
    found = {name: in_units(column, cells.point)}
    if categories is not None:
        names = level_names(column, categories)
        for number, level in enumerate(names):
            found[f"{name}[{level}]"] = cells.probabilities[:, number]
        return found
    found[f"{name}[sd]"] = cells.sd
    for index, level in enumerate(LEVELS):
        quantile = cells.quantiles[:, index]
        found[f"{name}[{100 * level:g}%]"] = in_units(column, quantile)
    return found


def _require_whole_groups(vae: VAE, positions: Sequence[int]) -> None:
    """Raise ValueError where cells are asked for that can't be missing without others."""
    missing = missing_cells(vae)
    groups = {} if missing is None else missing.together
    for name, columns in groups.items():
        asked = set(columns) & set(positions)
        if asked and asked != set(columns):
            raise ValueError(
                f"columns: expected all of {name} or none, since they depend on each other given "
                f"z, got {sorted(asked)} of {sorted(columns)}"
            )


def _with_columns(x: Any, schema: Schema, columns: Sequence[Column]) -> Any:
    """The DataFrame with the columns that it lacks, of missing cells."""
    import narwhals as nw

    frame = opened(x, "x")
    absent = [column for column in columns if column.name not in frame.columns]
    if not absent:
        return x
    types: dict[bool, Any] = {True: nw.Datetime("us"), False: nw.Duration("us")}
    made = []
    for column in absent:
        dtype = (
            nw.Float64() if column.unit is None else types[column.origin is not None]
        )
        made.append(nw.lit(None, dtype=dtype).alias(column.name))
    return frame.with_columns(*made).to_native()
