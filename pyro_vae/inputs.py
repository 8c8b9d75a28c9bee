"""Rows for a model: on its device, in its type, and checked against its shape and support."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import tee
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.contexts import (
    NONE_TAKEN,
    apart,
    contexts_of,
    has_names,
    without_context,
)
from pyro_vae.data import (
    ArrayRows,
    DatasetRows,
    LoaderRows,
    Placement,
    Rows,
    Schema,
    Table,
    as_rows,
    checked,
)
from pyro_vae.data.arrays import LARGEST
from pyro_vae.data.binarize import levels
from pyro_vae.data.checks import MissingCells
from pyro_vae.data.frames import is_frame
from pyro_vae.data.given_rows import (
    DatasetPairs,
    GivenRows,
    LoaderPairs,
    in_memory,
    pairs_of,
)
from pyro_vae.data.loaders import undisturbed
from pyro_vae.data.rounding import Cast, require_precision
from pyro_vae.likelihoods.observed_cells import MissingAtRandom
from pyro_vae.networks import Standardize
from pyro_vae.progress_bar import progress_bar
from pyro_vae.spec import data_support
from pyro_vae.spec.column_kinds import checked_by_name
from pyro_vae.vae import VAE


def placement_of(vae: VAE) -> Placement:
    """The device and the dtype of the model's numbers."""
    tensors = [*vae.parameters(), *vae.buffers()]
    numbers = [tensor for tensor in tensors if tensor.is_floating_point()]
    first = numbers[0] if numbers else torch.zeros(())
    return Placement(first.device, first.dtype)


def model_rows(
    vae: VAE,
    x: Any,
    placement: Placement | None = None,
    *,
    name: str = "x",
    context: Any = None,
    streams: bool = False,
) -> Rows:
    """Data of any kind as rows of the model; a DataFrame is matched by the names of its columns.

    Arguments:
        vae: the model.
        x: rows, (n, *data_shape), a `Table` or a DataFrame.
        placement: device and type of the batches; by default the model's.
        name: of the argument, for messages.
        context: of a model that has one: of each row; None finds it in the table x by name, or at
            the end of flat rows, (n, D + C), or in the pairs (x, context) of a Dataset or a
            DataLoader.
        streams: whether such pairs are read batch by batch in each pass, not kept in memory.

    Returns:
        The rows; of a model with a context `GivenRows`, which have both.
    """
    where = placement_of(vae) if placement is None else placement
    given = vae.spec.context
    if given is None:
        if context is not None:
            raise ValueError(f"context: {NONE_TAKEN}")
        return _own_rows(vae, x, where, name)
    if isinstance(x, GivenRows | LoaderPairs | DatasetPairs):
        return x
    is_alone = context is None
    if context is None and has_names(given, x):
        context = x
    elif context is None:
        x, context = apart(x, vae.spec.data_shape, given.size)
    rows = _own_rows(vae, without_context(given, x), where, name)
    of_what = "context" if name == "x" else f"context of {name}"
    taken = partial(contexts_of, given, placement=where, name=of_what)
    if isinstance(rows, ArrayRows):
        return GivenRows(rows, taken(context, len(rows)))
    if not is_alone:
        raise ValueError(
            f"{name}: expected rows in an array or a table beside a context, got "
            f"{type(x).__name__}, whose rows have no positions; pass an array or a memory map, or "
            "pairs (x, context) alone"
        )
    pairs = pairs_of(rows, vae.spec.data_shape, taken)
    if streams:
        return pairs
    require_precise(vae, pairs, name)
    return in_memory(pairs, pass_size(vae))


def _own_rows(vae: VAE, x: Any, where: Placement, name: str) -> Rows:
    """Data of any kind as the rows x of the model, without a context."""
    rows = as_rows(
        x,
        vae.spec.data_shape,
        where,
        name=name,
        schema=vae.spec.table,
        missing=vae.spec.missing != "none",
    )
    is_unnamed = not isinstance(x, Table | ArrayRows) and not is_frame(x)
    if vae.spec.table is not None and is_unnamed:
        _require_shifted(rows, vae.spec.table, name)
    return rows


def own_part(vae: VAE, rows: Tensor) -> Tensor:
    """The rows x of a batch, which is (x, c) for a model with a context."""
    if vae.spec.context is None:
        return rows
    x, _ = vae.model.split(rows)
    return x


def own_parts(vae: VAE, batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """`own_part` of each batch."""
    return (own_part(vae, batch) for batch in batches)


def _require_shifted(rows: Rows, schema: Schema, name: str) -> None:
    """Raise ValueError where an array has numbers in the units of a table, and not less the offset.

    The model sees numbers less the offset of their column, such as 2459000 of Julian dates.
    """
    if not schema.offsets.any() or not isinstance(rows, ArrayRows):
        return
    first = next(rows.batches(256)).double().cpu().numpy()
    offsets = schema.offsets
    for position in np.flatnonzero(offsets):
        present = first[np.isfinite(first[:, position]), position]
        mean = float(present.mean()) if len(present) else 0.0
        if abs(mean - offsets[position]) < abs(mean):
            raise ValueError(
                f"{name}: column {schema.names[position]!r}: expected numbers less the offset "
                f"{offsets[position]:.12g}, as the model sees them, got {mean:.12g} on average; "
                "pass a DataFrame with the names of the columns, or Table.values"
            )


def rows_of(
    vae: VAE,
    x: Any,
    name: str,
    *,
    batch_size: int = 256,
    progress: bool | None = False,
) -> Iterator[Tensor]:
    """Checked batches of x on the model's device and in its dtype, with a progress bar.

    Arguments:
        vae: the model.
        x: rows, (n, *data_shape), as `fit` takes them.
        name: of the argument, for messages.
        batch_size: rows in a batch.
        progress: True shows the bar and False hides it; None shows it on a terminal or in a
            notebook.
    """
    rows = model_rows(vae, x, name=name)
    require_precise(vae, rows, name)
    batches = checked_batches(vae, rows.batches(batch_size), name)
    with progress_bar(progress, total=len(rows), desc="log p(x)", unit="row") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def checked_batches(
    vae: VAE,
    batches: Iterator[Tensor],
    name: str,
    grey: bool = False,
) -> Iterator[Tensor]:
    """The batches, each checked against the shape and the support of the model.

    Arguments:
        vae: the model.
        batches: of rows.
        name: of the argument that has them, for messages.
        grey: whether rows are grey levels, which are checked against [0, 1].
    """
    support, remedy = data_support(vae.likelihood, vae.spec.decoder_inputs)
    missing = missing_cells(vae)
    if grey:
        _require_bits(vae, support)
        missing = None  # bits can't be drawn for cells that aren't there
        support = constraints.unit_interval
        remedy = "binarize='dynamic' takes grey levels in [0, 1], or bytes"
        batches = levels(batches, name)
    shape = vae.spec.data_shape
    batches = undisturbed(batches)
    whole = None
    if vae.spec.context is not None:
        # two passes over one stream, a batch at a time: x is checked, and (x, c) passed on
        whole, batches = tee(batches)
        batches = own_parts(vae, batches)
    if vae.spec.table is not None and not grey:
        batches = checked_by_name(batches, vae.likelihood, vae.spec.table.names, name)
    parts = checked(
        batches, shape, support=support, remedy=remedy, name=name, missing=missing
    )
    if whole is None:
        return parts
    return (batch for batch, _ in zip(whole, parts, strict=True))


def _require_bits(vae: VAE, support: Any) -> None:
    """Raise ValueError where p(x | z) has no density at bits, which are drawn from grey levels."""
    bits = torch.stack(
        [torch.zeros(vae.spec.data_shape), torch.ones(vae.spec.data_shape)]
    )
    if not bool(support.check(bits.to(placement_of(vae).device)).all()):
        raise ValueError(
            "binarize: 'dynamic' expected a likelihood that holds rows of bits, 0 and 1, got "
            f"{vae.spec.likelihood.kind!r}; take likelihood 'bernoulli', or leave binarize out"
        )


def missing_cells(vae: VAE) -> MissingCells | None:
    """What rows of a model may lack; None where all cells have to be there."""
    missing = missing_module(vae)
    return None if missing is None else MissingCells(missing.together)


def missing_module(vae: VAE) -> MissingAtRandom | None:
    """What the likelihood has for missing cells; None where all cells have to be there."""
    if vae.spec.missing == "none":
        return None
    likelihood: Any = getattr(vae.likelihood, "_orig_mod", vae.likelihood)
    missing: MissingAtRandom = likelihood.missing
    return missing


def require_precise(vae: VAE, rows: Rows, name: str, cast: Cast | None = None) -> None:
    """Raise ValueError where the cast to the model's dtype changes the data too much.

    A fitted model compares with the spread of its training rows, so that a single row can be
    checked too. See `require_precision`.

    Arguments:
        vae: the model.
        rows: those that are cast.
        name: of the argument that has them, for messages.
        cast: has seen all of them; by default they are read.
    """
    if isinstance(rows, GivenRows | LoaderPairs | DatasetPairs):
        rows = rows.x
    if not isinstance(rows, ArrayRows | DatasetRows | LoaderRows):
        return
    support, _ = data_support(vae.likelihood, vae.spec.decoder_inputs)
    negative = torch.full((1, *vae.spec.data_shape), -0.5)
    shift = bool(support.check(negative).all())
    std = _training_std(vae) if vae.initialized else None
    names = None if vae.spec.table is None else vae.spec.table.names
    size = pass_size(vae)
    if cast is None:
        require_precision(rows, size, name, std=std, shift=shift, columns=names)
    elif cast.rounds:
        cast.require_precision(size, name, std=std, shift=shift, columns=names)


def _training_std(vae: VAE) -> Tensor | None:
    """The standard deviations of the training rows, where the encoder divides by them."""
    for module in vae.modules():
        if isinstance(module, Standardize) and module.mode == "feature":
            return module.std
    return None


def pass_size(vae: VAE) -> int:
    """Rows of a pass that reads them only, so that a batch stays small in memory."""
    return max(1, min(4096, LARGEST // math.prod(vae.spec.data_shape)))
