"""Rows that a model draws itself, for contexts that are given, with the z that they come from."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_vae.analysis.fitted import drawn_rows
from pyro_vae.contexts import NONE_TAKEN, contexts_of
from pyro_vae.inputs import placement_of
from pyro_vae.labels import with_drawn_labels
from pyro_vae.vae import VAE

CHUNK = 10_000
"""Rows that are drawn at once."""


def contexts_to_draw(vae: VAE, context: Any, num_rows: int) -> Tensor | None:
    """The contexts of rows to draw, (num_rows, C): those given, one after another, over again.

    Arguments:
        vae: the model.
        context: an array (m, C), a DataFrame, or a dict by name of a value for all rows.
        num_rows: how many rows.

    Returns:
        None for a model without a context.

    Raises:
        ValueError: no context where the model has one, one that doesn't fit, or one too many.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"dim": 1})
        >>> contexts_to_draw(vae, [[0.0], [1.0]], 3).flatten()
        tensor([0., 1., 0.])
    """
    if vae.spec.context is None:
        if context is not None:
            raise ValueError(f"context: {NONE_TAKEN}")
        return None
    count = num_rows if isinstance(context, Mapping) else None
    found = contexts_of(vae.spec.context, context, count, placement_of(vae))
    return found[torch.arange(num_rows, device=found.device) % len(found)]


def simulated(
    seen: Any, num_rows: int, context: Tensor | None
) -> tuple[Tensor, Tensor]:
    """z ~ p(z), and rows x ~ p(x | z), or (x, c) with x ~ p(x | z, c).

    Arguments:
        seen: a model, or a model of whole rows.
        num_rows: how many rows.
        context: of each row, (num_rows, C); an unknown label is drawn from p(y).
    """
    z = seen.prior().sample(torch.Size([num_rows]))
    if context is None:
        x = torch.cat([drawn_rows(seen, some) for some in z.split(CHUNK)])
        return z, x
    if seen.model.label is not None:
        context = with_drawn_labels(context, seen.model.label())
    pairs = zip(z.split(CHUNK), context.split(CHUNK), strict=True)
    return z, torch.cat([drawn_rows(seen, *pair) for pair in pairs])
