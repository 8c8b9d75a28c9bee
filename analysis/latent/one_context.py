"""The one context at which codes are decoded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyro_vae.analysis.contexts.naming import names_in
from pyro_vae.contexts import (
    NONE_TAKEN,
    apart,
    contexts_of,
    has_names,
)
from pyro_vae.data.given_rows import GivenRows
from pyro_vae.given import with_context
from pyro_vae.inputs import placement_of
from pyro_vae.labels import label_of
from pyro_vae.priors.conditional import ConditionalNormal
from pyro_vae.spec import Context
from pyro_vae.vae import VAE


def one_context(vae: VAE, context: Any) -> Tensor | None:
    """A context at which codes are decoded, (1, C); None for a model without a context.

    Arguments:
        vae: the model.
        context: one, (C,) or (1, C), a dict by name, or a DataFrame of one row.

    Raises:
        ValueError: none for a model that needs one, several, one of an unknown label, one for a
            model without a context, or one that doesn't fit.

    Example:
        >>> one_context(VAE(data_shape=(4,), latent_dim=2, context={"dim": 2}), [0.5, 1.0])
        tensor([[0.5000, 1.0000]])
    """
    given = vae.spec.context
    if given is None:
        if context is not None:
            raise ValueError(f"context: {NONE_TAKEN}")
        return None
    if context is None:
        raise ValueError(
            "context: expected one context, in which z is decoded, got none; pass one, "
            f"context={_pattern(given)}"
        )
    placement = placement_of(vae)
    if isinstance(context, Mapping):
        found = contexts_of(given, context, 1, placement)
    else:
        is_vector = len(np.shape(context)) == 1 and not has_names(given, context)
        found = contexts_of(given, [context] if is_vector else context, None, placement)
    if len(found) != 1:
        raise ValueError(
            f"context: expected one context, in which all z are decoded, got {len(found)}; pass "
            "one of them, and those of rows beside them, x=(rows, contexts)"
        )
    if given.label is not None and bool(label_of(found).isnan()):
        name = names_in(given)[-1]
        raise ValueError(
            f"context: expected a value of the label {name!r} too, got none; pass it, "
            f"context={_pattern(given)}"
        )
    return found


def _pattern(given: Context) -> str:
    """How a context is written."""
    if given.table is None:
        return f"an array of shape (1, {given.size})"
    return "{" + ", ".join(f"{name!r}: ..." for name in given.table.names) + "}"


def rows_and_contexts(vae: VAE, x: Any) -> Any:
    """Rows with their own contexts: a pair, a table with the columns, or flat rows (x, c).

    Raises:
        ValueError: rows without contexts, or contexts that don't fit them.
    """
    given = vae.spec.context
    if given is None:
        return with_context(vae, x)
    if isinstance(x, tuple):
        if len(x) != 2:
            raise ValueError(
                f"x: expected rows and their contexts as a pair, got {len(x)} objects; pass "
                "x=(rows, contexts)"
            )
        return with_context(vae, *x)
    is_label = given.label is not None and given.size == 1  # which may be unknown
    gives_pairs = isinstance(x, GivenRows | Dataset | DataLoader)
    has_own = is_label or gives_pairs or has_names(given, x)
    if not has_own and apart(x, vae.spec.data_shape, given.size)[1] is None:
        raise ValueError(
            "x: expected rows with their contexts, got rows alone; pass a pair, x=(rows, contexts)"
        )
    return with_context(vae, x)


def from_standardised(vae: VAE, u: Tensor, context: Tensor | None) -> Tensor:
    """z = μ(c) + σ(c) u in a context (1, C), where the prior takes the context; else u itself.

    Arguments:
        vae: the model.
        u: codes as `RowsModel` has them, (..., latent_dim).
        context: of all of them.
    """
    resolved = vae.model.resolved(context)
    if not isinstance(vae.prior, ConditionalNormal) or resolved is None:
        return u
    loc, scale = vae.prior.moments(resolved)
    return loc + scale * u
