"""The probabilities of the categories of each column, given the code of a row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import as_numpy, evaluation, posterior_of
from pyro_vae.analysis.results.answer import dataframe_of_rows
from pyro_vae.arguments import public
from pyro_vae.data import Schema
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import with_context
from pyro_vae.hooks import HasProbabilities
from pyro_vae.inputs import rows_of
from pyro_vae.vae import VAE


@public
def class_probabilities(
    vae: VAE, x: Any, *, context: Any = None, as_array: bool = False
) -> dict[Any, Any]:
    """p(x'ᵢ = k | z) at z = E[z | x] for each categorical or ordinal column i.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape), or a DataFrame.
        context: of a model that has one, what is given with each row: see `encode`.
        as_array: give positions and arrays also where the model knows the columns of a table.

    Returns:
        Column -> probabilities, (n, K); columns are numbered as in the flattened row. Of a model
        that knows the columns of a table: name -> a pandas DataFrame with a column for each level,
        and with the labels of the rows. Empty where no column is of such a kind.

    Raises:
        ValueError: rows that don't fit the model.

    Example:
        >>> likelihood = {"kind": "categorical", "num_classes": 3}
        >>> vae = VAE(data_shape=(2,), latent_dim=1, likelihood=likelihood)
        >>> class_probabilities(vae, torch.zeros(5, 2))[1].shape
        (5, 3)
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"species": ["owl", "tit", "owl"]})
        >>> vae = VAE.from_data(frame, latent_dim=1)
        >>> list(class_probabilities(vae, frame)["species"])
        ['owl', 'tit']
    """
    batches: list[dict[int, Tensor]] = []
    with evaluation(vae):
        for batch in rows_of(vae, with_context(vae, x, context), "x"):
            _, given = vae.model.split(batch)
            p: Any = vae.model.p_x(posterior_of(vae, batch).mean, given)
            has_categories = isinstance(p, HasProbabilities)
            batches.append(p.pyro_vae_probabilities() if has_categories else {})
    found: dict[int, np.ndarray] = {}
    for column in batches[0]:
        parts = [probabilities[column] for probabilities in batches]
        found[column] = as_numpy(torch.cat(parts))
    if vae.spec.table is None or as_array:
        return found
    return _named(found, vae.spec.table, row_labels(x, vae.spec.table))


def _named(
    found: dict[int, np.ndarray], schema: Schema, labels: Sequence[Any] | None
) -> dict[str, Any]:
    """The probabilities by the names of columns and levels."""
    named: dict[str, Any] = {}
    for position, probabilities in found.items():
        column = schema.modelled[position]
        levels = column.levels
        if levels is None:  # categories that the data had as numbers from 0
            levels = tuple(range(probabilities.shape[1]))
        # a column of a single level has a second class, which no cell has
        each: dict[Any, np.ndarray] = {
            level: probabilities[:, k] for k, level in enumerate(levels)
        }
        named[column.name] = dataframe_of_rows(each, labels)
    return named
