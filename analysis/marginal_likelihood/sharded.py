"""log p(x) of many rows by several processes, each of which takes its share of the rows."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.data import ArrayRows, DatasetRows, Rows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.distributed.collectives import gathered
from pyro_vae.distributed.process_group import is_first, rank, watched, world_size
from pyro_vae.inputs import model_rows
from pyro_vae.vae import VAE


def sharded_evidence(
    vae: VAE,
    x: Any,
    *,
    labels: Sequence[Any] | None = None,
    context: Any = None,
    timeout: float | None = None,
    checkpoint: Path | None = None,
    **how: Any,
) -> Evidence:
    """`evidence` of the rows x by all processes of the group, each of which gets the whole result.

    Process r of W estimates rows r, r + W, r + 2W, .... The draws of a row depend on the row alone,
    so its numbers are those of a single process, up to rounding. Every process of the group calls
    it, with the same model and rows; a single process estimates all rows.

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape), of any kind that has positions: not a DataLoader.
        labels: names of the rows; those that x has by default.
        context: of a model that has one, as in `evidence`.
        timeout: seconds after which a process that gives no sign of life is named; by default 45.
        checkpoint: the file of a single process; several add their numbers to its name.
        **how: further arguments of `evidence`.

    Raises:
        ValueError: as `evidence`; the other processes notice when this one leaves the group.
        ProcessLost: another process has ended, or gives no sign of life.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> sharded_evidence(vae, np.zeros((3, 4)), num_particles=10).log_marginal.shape
        (3,)
    """
    names = row_labels(x, vae.spec.table) if labels is None else tuple(labels)
    rows = model_rows(vae, x, context=context)
    world = min(world_size(), len(rows))
    if world <= 1:
        found = evidence(vae, rows, checkpoint=checkpoint, **how)
        return replace(found, row_labels=names)
    _require_positions(x, rows)
    if not is_first():
        how["progress"] = False
    # with fewer rows than processes, some processes have none
    own = None
    with watched(timeout):
        if rank() < world:
            share = _share(rows, rank(), world)
            own = evidence(vae, share, checkpoint=_of_rank(checkpoint), **how)
        parts = gathered(own)
    whole = _interleaved([part for part in parts if part is not None])
    return replace(whole, row_labels=names)


def _of_rank(checkpoint: Path | None) -> Path | None:
    """The file of this process."""
    if checkpoint is None:
        return None
    return checkpoint.with_name(f"{checkpoint.stem}-{rank()}{checkpoint.suffix}")


def _require_positions(x: Any, rows: Rows) -> None:
    """Raise ValueError for a DataLoader, whose order may be another one in each process."""
    is_loader = isinstance(x, DataLoader)
    if is_loader or not isinstance(rows, ArrayRows | DatasetRows):
        raise ValueError(
            "x: expected rows that several processes can divide, got a DataLoader; pass its dataset"
        )


def _share(rows: Any, first: int, step: int) -> Any:
    """The rows first, first + step, first + 2 step, ..."""
    return rows.select(torch.arange(first, len(rows), step))


def _interleaved(parts: list[Evidence]) -> Evidence:
    """The whole, whose row i is row i // W of part i % W."""
    whole: dict[str, Any] = {}
    for field in fields(Evidence):
        values = [getattr(part, field.name) for part in parts]
        is_column = isinstance(values[0], np.ndarray)
        whole[field.name] = _interleaved_columns(values) if is_column else values[0]
    return Evidence(**whole)


def _interleaved_columns(columns: list[np.ndarray]) -> np.ndarray:
    whole = np.empty(sum(map(len, columns)), np.result_type(*columns))
    for number, column in enumerate(columns):
        whole[number :: len(columns)] = column
    return whole
