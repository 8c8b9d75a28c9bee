"""Rows on their way into a model: on its device, in its type, and checked against its shape and its
support.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from tqdm.auto import tqdm

from pyro_vae.data import ArrayRows, DatasetRows, LoaderRows, Placement, Rows, as_rows, checked
from pyro_vae.data.arrays import LARGEST
from pyro_vae.data.binarize import levels
from pyro_vae.data.rounding import require_precision
from pyro_vae.networks import Standardize
from pyro_vae.rng import own_seed
from pyro_vae.spec import data_support
from pyro_vae.vae import VAE


def placement_of(vae: VAE) -> Placement:
    """The device and the type of the model's numbers."""
    numbers = (
        tensor for tensor in (*vae.parameters(), *vae.buffers()) if tensor.is_floating_point()
    )
    first = next(numbers, torch.zeros(()))
    return Placement(first.device, first.dtype)


def rows_of(
    vae: VAE, x: Any, name: str, *, batch_size: int = 256, progress: bool | None = False
) -> Iterator[Tensor]:
    """Checked batches of x on the model's device and in its type."""
    rows = as_rows(x, vae.spec.data_shape, placement_of(vae), name=name)
    require_precise(vae, rows, name)
    batches = checked_batches(vae, rows.batches(batch_size), name)
    hidden = None if progress is None else not progress
    with tqdm(
        total=len(rows), disable=hidden, desc="log p(x)", unit="row", dynamic_ncols=True
    ) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def checked_batches(
    vae: VAE, batches: Iterator[Tensor], name: str, grey: bool = False
) -> Iterator[Tensor]:
    """The batches, each checked against the shape and the support of the model; or grey rows,
    against [0, 1].
    """
    support, remedy = data_support(vae.likelihood, vae.spec.latent_dim)
    if grey:
        support, remedy = (
            constraints.unit_interval,
            "binarize='dynamic' takes grey levels in [0, 1], or bytes",
        )
        batches = levels(batches, name)
    return checked(
        undisturbed(batches), vae.spec.data_shape, support=support, remedy=remedy, name=name
    )


def require_precise(vae: VAE, rows: Rows, name: str) -> None:
    """Raise ValueError where the cast to the model's type gives other data: see
    `require_precision`.

    A fitted model compares with the spread of its training rows, so that one row can be asked about
    too.
    """
    if not isinstance(rows, ArrayRows | DatasetRows | LoaderRows):
        return
    support, _ = data_support(vae.likelihood, vae.spec.latent_dim)
    shift = bool(support.check(torch.full((1, *vae.spec.data_shape), -0.5)).all())
    inputs = (
        module
        for module in vae.modules()
        if isinstance(module, Standardize) and module.mode == "feature"
    )
    std = next((module.std for module in inputs), None) if vae.initialized else None
    require_precision(rows, pass_size(vae), name, std=std, shift=shift)


def pass_size(vae: VAE) -> int:
    """Rows that are looked at together."""
    return max(1, min(4096, LARGEST // math.prod(vae.spec.data_shape)))


def undisturbed(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches; a DataLoader draws random numbers for each pass, and none of them are the
    caller's.
    """
    while True:
        with own_seed(0):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
