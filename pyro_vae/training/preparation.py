"""The rows before the first step: divided, checked, and what an untrained model takes from them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.data import ArrayRows, DatasetRows, Rows, Target, as_rows, checked, statistics
from pyro_vae.data.arrays import LARGEST
from pyro_vae.data.binarize import bits_of, levels
from pyro_vae.data.places import marked, shuffled
from pyro_vae.rng import own_seed
from pyro_vae.spec import data_support
from pyro_vae.vae import VAE


def split(rows: Rows, validation: Any, vae: VAE, target: Target, seed: int) -> tuple[Rows, Rows | None]:
    """Training and validation rows: a random part of `rows` by share or number, or rows that come by themselves.

    Raises:
        ValueError: fewer rows than asked for, or a loader of which no part can be taken.
    """
    if validation is None or is_number(validation):
        return select_part(rows, validation, seed)
    return rows, as_rows(validation, vae.spec.data_shape, target, name="validation")


def select_part(rows: Rows, validation: Any, seed: int) -> tuple[Rows, Rows | None]:
    """The rows without a random part, and that part, of a share or number of them; the seed alone chooses it."""
    if not is_number(validation) or validation == 0:
        return rows, None
    if not isinstance(rows, ArrayRows | DatasetRows):
        raise ValueError(
            f"validation: expected rows of its own beside a DataLoader, got {validation}; "
            "pass validation=another loader, or validation=None"
        )
    held_out = math.ceil(validation * len(rows)) if validation < 1 else int(validation)
    if held_out >= len(rows):
        raise ValueError(f"validation: expected fewer rows than the {len(rows)} of x, got {held_out}; ask for fewer")
    held = torch.zeros(len(rows), dtype=torch.bool)
    held[shuffled(len(rows), torch.Generator().manual_seed(seed))[:held_out]] = True
    return rows.select(marked(~held)), rows.select(marked(held))


def is_number(validation: Any) -> bool:
    """Whether validation rows are asked for by a share or a number of them.

    Raises:
        ValueError: by True or False, which say neither how many nor which.
    """
    if isinstance(validation, bool | np.bool_):
        raise ValueError(
            f"validation: expected a share, a number of rows, rows, or None, got {validation}; "
            "take validation=0.1, or None for no validation"
        )
    return isinstance(validation, float | int | np.number)


def start(vae: VAE, given: Mapping[str, Rows], train: Rows, grey: bool = False) -> None:
    """Check every row that was given, by its name; an untrained model takes the statistics of the training rows."""
    size = max(1, min(4096, LARGEST // math.prod(vae.spec.data_shape)))
    for name, rows in given.items():
        for _ in inspect(vae, rows.batches(size), name, grey):
            pass
    if not vae.initialized:
        summary = statistics(train.batches(size, torch.Generator().manual_seed(0)))
        summary = bits_of(summary) if grey else summary
        for module in vae.modules():
            if callable(begin := getattr(module, "start_from", None)):
                begin(summary)
        vae.initialized.fill_(True)


def inspect(vae: VAE, batches: Iterator[Tensor], name: str, grey: bool = False) -> Iterator[Tensor]:
    """The batches, each checked against the shape and the support of the model; or grey rows, against [0, 1]."""
    support, remedy = data_support(vae.likelihood, vae.spec.latent_dim)
    if grey:
        support, remedy = constraints.unit_interval, "binarize='dynamic' takes grey levels in [0, 1], or bytes"
        batches = levels(batches, name)
    return checked(_undisturbed(batches), vae.spec.data_shape, support=support, remedy=remedy, name=name)


def _undisturbed(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches; a DataLoader draws random numbers for each pass, and none of them are the caller's."""
    while True:
        with own_seed(0):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
