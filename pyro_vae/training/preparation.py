"""The rows before the first step: divided, checked, and what an untrained model takes from them."""

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.data import ArrayRows, DatasetRows, LoaderRows, Rows, Target, as_rows, checked, statistics
from pyro_vae.data.arrays import LARGEST
from pyro_vae.data.binarize import bits_of, levels
from pyro_vae.data.indices import marked, shuffled
from pyro_vae.data.rounding import require_precision
from pyro_vae.data.summary_statistics import Statistics, farthest
from pyro_vae.networks import Standardize
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
    size = _size(vae)
    for name, rows in given.items():
        for _ in inspect(vae, rows.batches(size), name, grey):
            pass
        require_precise(vae, rows, name)
    if not vae.initialized:
        summary = statistics(train.batches(size, torch.Generator().manual_seed(0)))
        summary = bits_of(summary) if grey else summary
        if not grey and summary.outlying.any():
            _warn_of_outliers(vae, given["x"].batches(size), summary)
        for module in vae.modules():
            if callable(begin := getattr(module, "start_from", None)):
                begin(summary)
        vae.initialized.fill_(True)


def _warn_of_outliers(vae: VAE, batches: Iterator[Tensor], summary: Statistics) -> None:
    """Name the cell that makes the standard deviation of a column: one of those on the whole line, with the most."""
    support, _ = data_support(vae.likelihood, vae.spec.latent_dim)
    real = support.check(torch.full((1, *vae.spec.data_shape), -0.5))
    outlying = summary.outlying.cpu() & real.expand(1, *vae.spec.data_shape)[0]
    ratio = torch.where(outlying, (summary.std / summary.robust_std).cpu(), 0.0)
    if not ratio.any():
        return
    feature = tuple(int(i) for i in np.unravel_index(int(ratio.argmax()), ratio.shape))
    row, value, distance = farthest(_undisturbed(batches), summary, feature)
    column = feature[0] if len(feature) == 1 else feature
    warnings.warn(
        f"x: {value:g} in row {row}, column {column} is {distance:.3g} robust standard deviations (1.4826 median "
        f"absolute deviations) from the column's median, and makes its standard deviation {float(ratio.max()):.3g} "
        f"times that of most rows; columns like this: {int((ratio > 0).sum())}. If it stands for a missing value, "
        "drop the row or fill it in; if it is real, take likelihood 'student_t'",
        stacklevel=4,
    )


def require_precise(vae: VAE, rows: Rows, name: str) -> None:
    """Raise ValueError where the cast to the model's type gives other data: see `require_precision`.

    A fitted model compares with the spread of its training rows, so that one row can be asked about too.
    """
    if not isinstance(rows, ArrayRows | DatasetRows | LoaderRows):
        return
    support, _ = data_support(vae.likelihood, vae.spec.latent_dim)
    shift = bool(support.check(torch.full((1, *vae.spec.data_shape), -0.5)).all())
    inputs = (module for module in vae.modules() if isinstance(module, Standardize) and module.mode == "feature")
    std = next((module.std for module in inputs), None) if vae.initialized else None
    require_precision(rows, _size(vae), name, std=std, shift=shift)


def _size(vae: VAE) -> int:
    """Rows that are looked at together."""
    return max(1, min(4096, LARGEST // math.prod(vae.spec.data_shape)))


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
