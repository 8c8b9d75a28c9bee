"""The names of the columns of a model that is fitted to a table without knowing it."""

import math
from typing import Any

from pyro_vae.contexts import without_context
from pyro_vae.data import Table
from pyro_vae.data.column_choice import of_kinds
from pyro_vae.data.frames import is_frame
from pyro_vae.data.matching import names_only
from pyro_vae.vae import VAE


def learn_columns(vae: VAE, x: Any) -> None:
    """Give a model the names of the columns of the table that it is fitted to.

    A model that knows its columns, and rows without names, change nothing.
    """
    if vae.spec.table is not None:
        return
    x = without_context(vae.spec.context, x)
    shape = vae.spec.data_shape
    if isinstance(x, Table):
        if shape != (len(x.names),):
            return  # which is refused with the shape of the rows
        schema = of_kinds(x.schema, _kinds(vae, math.prod(shape)))
    elif is_frame(x):
        schema = names_only(x, _kinds(vae, math.prod(shape)), shape)
    else:
        return
    fields = vae.spec.model_dump() | {"table": schema}
    vae.spec = type(vae.spec).model_validate(fields)


def _kinds(vae: VAE, width: int) -> list[str]:
    """The kind of the likelihood of each column."""
    likelihood = vae.spec.likelihood
    kinds = [likelihood.kind] * width
    for group in likelihood.options().get("columns", ()):
        for column in group.columns:
            kinds[column] = group.likelihood.kind
    return kinds
