"""The rows before the first step: divided, checked, and what an untrained model takes from them."""

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data import ArrayRows, DatasetRows, Placement, Rows, as_rows, statistics
from pyro_vae.data.binarize import bits_of
from pyro_vae.data.indices import marked, shuffled
from pyro_vae.data.summary_statistics import Statistics, farthest
from pyro_vae.inputs import checked_batches, pass_size, require_precise, undisturbed
from pyro_vae.spec import data_support
from pyro_vae.vae import VAE


def split(
    rows: Rows, validation: Any, vae: VAE, placement: Placement, seed: int
) -> tuple[Rows, Rows | None]:
    """Training and validation rows: a random part of `rows` by share or number, or rows that come
    by themselves.

    Raises:
        ValueError: fewer rows than asked for, or a loader of which no part can be taken.
    """
    if validation is None or is_number(validation):
        return select_part(rows, validation, seed)
    return rows, as_rows(validation, vae.spec.data_shape, placement, name="validation")


def select_part(rows: Rows, validation: Any, seed: int) -> tuple[Rows, Rows | None]:
    """The rows without a random part, and that part, of a share or number of them; the seed alone
    chooses it.
    """
    if not is_number(validation) or validation == 0:
        return rows, None
    if not isinstance(rows, ArrayRows | DatasetRows):
        raise ValueError(
            f"validation: expected rows of its own beside a DataLoader, got {validation}; "
            "pass validation=another loader, or validation=None"
        )
    held_out = math.ceil(validation * len(rows)) if validation < 1 else int(validation)
    if held_out >= len(rows):
        raise ValueError(
            f"validation: expected fewer rows than the {len(rows)} of x, got {held_out}; ask for "
            "fewer"
        )
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
    """Check every row that was given, by its name; an untrained model takes the statistics of the
    training rows.
    """
    size = pass_size(vae)
    for name, rows in given.items():
        for _ in checked_batches(vae, rows.batches(size), name, grey):
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
    """Name the cell that makes the standard deviation of a column: one of those on the whole line,
    with the most.
    """
    support, _ = data_support(vae.likelihood, vae.spec.latent_dim)
    real = support.check(torch.full((1, *vae.spec.data_shape), -0.5))
    outlying = summary.outlying.cpu() & real.expand(1, *vae.spec.data_shape)[0]
    ratio = torch.where(outlying, (summary.std / summary.robust_std).cpu(), 0.0)
    if not ratio.any():
        return
    feature = tuple(int(i) for i in np.unravel_index(int(ratio.argmax()), ratio.shape))
    row, value, distance = farthest(undisturbed(batches), summary, feature)
    column = feature[0] if len(feature) == 1 else feature
    warnings.warn(
        f"x: {value:g} in row {row}, column {column} is {distance:.3g} robust standard deviations "
        "(1.4826 median absolute deviations) from the column's median, and makes its standard "
        f"deviation {float(ratio.max()):.3g} times that of most rows; columns like this: "
        f"{int((ratio > 0).sum())}. If it stands for a missing value, drop the row or fill it in; "
        "if it is real, take likelihood 'student_t'",
        stacklevel=4,
    )
