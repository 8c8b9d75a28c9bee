"""Draws from a fitted model, for ArviZ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.export.arviz_objects import to_datatree
from pyro_vae.analysis.export.column_variables import ColumnVariables, variable_names
from pyro_vae.analysis.export.coordinates import feature_coordinate
from pyro_vae.analysis.fitted import as_numpy, evaluation, has_density, posterior_of
from pyro_vae.analysis.imputation.results import Imputation
from pyro_vae.analysis.marginal_likelihood.measure import measure_of
from pyro_vae.analysis.results.tables import column_names, row_labels
from pyro_vae.arguments import public
from pyro_vae.data.columns import RANDOM_EFFECT
from pyro_vae.given import with_context
from pyro_vae.inputs import model_rows, placement_of, rows_of
from pyro_vae.likelihoods.base import given
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE
from pyro_vae.version import __version__

Groups = dict[str, Mapping[str, np.ndarray]]
GIBIBYTE = 2**30
NEW_LEVEL = "(new level)"
"""In constant_data: a level of a random effect that the model doesn't know."""


@public
def to_arviz(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_samples: int = 1000,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    rows: Sequence[Any] | None = None,
    imputation: Imputation | None = None,
    max_bytes: int = GIBIBYTE,
) -> Any:
    """Posterior, prior and predictive draws for some rows, as what the installed ArviZ takes.

    Groups: posterior z ~ q(z | x), posterior_predictive x ~ p(x | z), prior z ~ p(z),
    prior_predictive x ~ p(x | z), observed_data, and sample_stats with log_p = log p(x, z), log_q =
    log q(z | x) and log_weight = log_p - log_q of each draw and row in nats. The draws are
    independent: R-hat and ESS say nothing about them. The mean weight of a row is its p(x):
    `evidence` computes that with any number of draws.

    Bits, counts and categories are integers, which ArviZ draws as steps. Where some columns of a
    table are whole numbers and some are real, there is no x: each column is a variable, with the
    name of the column, or x[0], x[1], ... What the model conditions on, such as a size factor, is
    in the group constant_data, under such a name.

    References:
        ArviZ a unified library for exploratory analysis of Bayesian models in Python (Kumar,
        Carroll, Hartikainen, Martin, 2019).

    Arguments:
        vae: the model. An autoencoder has posterior and posterior_predictive only.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row; None finds its columns in the
            table x. It is in constant_data, and z ~ p(z | c), x ~ p(x | z, c).
        num_samples: draws for each row.
        seed: of the draws.
        columns: names of the features of one-dimensional data; those of a DataFrame by default.
        rows: labels of the rows; by default those that x has, such as the index of a DataFrame.
        imputation: what `impute` gives for the same rows; its completed tables become the group
            imputations.
        max_bytes: the most memory that the draws may take.

    Returns:
        `arviz.InferenceData` with ArviZ 0.x, `xarray.DataTree` with 1.x; dims chain, draw,
        observation, latent.

    Raises:
        ValueError: no rows or draws, more memory than allowed, rows that don't fit the model,
            another number of labels or names.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> tree = to_arviz(vae, torch.zeros(3, 4), num_samples=10)
        >>> dict(tree["posterior"].sizes)
        {'chain': 1, 'draw': 10, 'observation': 3, 'latent': 2}
    """
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
    whole = model_rows(vae, with_context(vae, x, context))
    _require_room(vae, len(whole), num_samples, max_bytes)
    names = _names(vae, x) if columns is None else list(columns)
    labels = row_labels(x, vae.spec.table) if rows is None else list(rows)
    table = _column_variables(vae, names)
    with evaluation(vae):
        data = torch.cat(list(rows_of(vae, whole, "x")))
        with own_seed(seed, data.device):
            groups = _posterior(vae, data, num_samples, table)
            if has_density(vae):
                groups |= _prior(vae, data, num_samples, table)
    if imputation is not None:
        groups |= _imputations(vae, imputation, len(data), table)
    attrs: dict[str, str | int | float] = {
        "inference_library": "pyro_vae",
        "inference_library_version": __version__,
        "spec": vae.spec.model_dump_json(),
    }
    return to_datatree(
        groups,
        attrs=attrs,
        columns=_features(table, names),
        rows=labels,
        scalars=table.scalars,
    )


def _posterior(
    vae: VAE, rows: Tensor, num_samples: int, table: ColumnVariables
) -> Groups:
    q = posterior_of(vae, rows)
    x, context = vae.model.split(rows)
    z = q.sample(torch.Size([num_samples]))
    p = vae.model.p_x(z, context)
    groups: Groups = {
        "posterior": {"z": as_numpy(z)},
        "posterior_predictive": table.variables(_in_units(vae, given(p, x).sample())),
        "observed_data": table.variables(_in_units(vae, x)),
    }
    constants = table.constants(as_numpy(x)) if table.given else {}
    if context is not None:
        constants = {**constants, **_contexts(vae, as_numpy(context))}
    if constants:
        groups["constant_data"] = constants
    if has_density(vae):
        log_p = vae.model.p_z(context).log_prob(z) + p.log_prob(x)
        log_q = q.log_prob(z)
        groups["sample_stats"] = {
            "log_p": as_numpy(log_p),
            "log_q": as_numpy(log_q),
            "log_weight": as_numpy(log_p.double() - log_q.double()),
        }
    return groups


def _imputations(
    vae: VAE, imputation: Imputation, rows: int, table: ColumnVariables
) -> Groups:
    """The completed tables, (imputation, observation, *data_shape)."""
    numbers = imputation.numbers()
    if numbers.shape[1] != rows or not len(numbers):
        raise ValueError(
            f"imputation: expected completed tables of the same {rows} rows, got {len(numbers)} "
            f"tables of {numbers.shape[1]} rows; pass impute(vae, x) of the same x"
        )
    return {"imputations": table.variables(_in_units(vae, numbers))}


def _contexts(vae: VAE, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The contexts of the rows by the names of their columns, or as c[0], c[1], ..."""
    schema = None if vae.spec.context is None else vae.spec.context.table
    if schema is None:
        return {f"c[{i}]": column for i, column in enumerate(numbers.T)}
    cells = {}
    for column, values in zip(schema.modelled, numbers.T, strict=True):
        decoded = column.decoded(values)
        if column.kind == RANDOM_EFFECT:
            decoded[values == len(column.levels or ())] = NEW_LEVEL
        cells[column.name] = decoded.astype(str) if column.levels else decoded
    return cells


def _prior(vae: VAE, rows: Tensor, num_samples: int, table: ColumnVariables) -> Groups:
    _, context = vae.model.split(rows)
    prior = vae.model.p_z(context)
    shape = [num_samples] if prior.batch_shape else [num_samples, len(rows)]
    z = prior.sample(torch.Size(shape))
    x = vae.model.p_x(z, context).sample()
    return {
        "prior": {"z": as_numpy(z)},
        "prior_predictive": table.variables(_in_units(vae, x)),
    }


def _in_units(vae: VAE, x: Tensor | np.ndarray) -> np.ndarray:
    """Rows with the offsets that a table's columns were shifted by added again."""
    numbers = as_numpy(x) if isinstance(x, Tensor) else x
    schema = vae.spec.table
    if schema is None or not schema.offsets.any():
        return numbers
    return numbers.astype(np.float64) + schema.offsets


def _names(vae: VAE, x: Any) -> list[str] | None:
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


def _features(
    table: ColumnVariables, names: Sequence[str] | None
) -> Sequence[str | int] | None:
    """The coordinate of the features of x; None for integers from 0, and where there is no x."""
    if table.are_several or (names is None and not table.given):
        return None
    return [column if names is None else names[column] for column in table.modelled]


def _require_room(vae: VAE, rows: int, num_samples: int, max_bytes: int) -> None:
    size = placement_of(vae).dtype.itemsize
    numbers = vae.spec.latent_dim + math.prod(vae.spec.data_shape)
    needed = (
        2 * size * rows * num_samples * numbers
    )  # draws of the posterior and of the prior
    if needed > max_bytes:
        raise ValueError(
            f"to_arviz: {num_samples} draws for {rows} rows would take {needed / GIBIBYTE:.1f} "
            f"GiB, and max_bytes is {max_bytes / GIBIBYTE:.1f} GiB; pass fewer rows (x[:50]), a "
            "smaller num_samples, or a larger max_bytes"
        )
