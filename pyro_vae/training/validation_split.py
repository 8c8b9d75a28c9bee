"""The validation rows: a random part of the training rows, or rows of their own."""

import math
from typing import Any

import numpy as np
import torch

from pyro_vae.data import ArrayRows, DatasetRows, Placement, Rows
from pyro_vae.data.indices import marked, shuffled
from pyro_vae.inputs import model_rows
from pyro_vae.vae import VAE


def split(
    rows: Rows,
    validation: Any,
    vae: VAE,
    placement: Placement,
    seed: int,
) -> tuple[Rows, Rows | None]:
    """Training and validation rows, as `validation` of `fit` asks for them.

    Raises:
        ValueError: fewer rows than asked for, or a loader of which no part can be taken.
    """
    if validation is None or is_number(validation):
        return select_part(rows, validation, seed)
    context = None
    if vae.spec.context is not None and isinstance(validation, tuple):
        validation, context = validation
    own_rows = model_rows(
        vae,
        validation,
        placement,
        name="validation",
        context=context,
        streams=True,
    )
    return rows, own_rows


def select_part(
    rows: Rows,
    validation: Any,
    seed: int,
) -> tuple[Rows, Rows | None]:
    """The rows without a random part, and that part; which rows it has depends on the seed alone.

    Arguments:
        rows: all rows.
        validation: share (below 1) or number of rows of the part; None or 0 takes none.
        seed: of the choice.

    Raises:
        ValueError: a part of all rows or more, or of a DataLoader.
    """
    if not is_number(validation) or validation == 0:
        return rows, None
    if not isinstance(rows, ArrayRows | DatasetRows):
        raise ValueError(
            f"validation: expected rows of its own beside a DataLoader, got {validation}; "
            "pass validation=another loader, or validation=None"
        )
    size = math.ceil(validation * len(rows)) if validation < 1 else int(validation)
    if size >= len(rows):
        raise ValueError(
            f"validation: expected fewer rows than the {len(rows)} of x, got {size}; ask for fewer"
        )
    order = shuffled(len(rows), torch.Generator().manual_seed(seed))
    is_valid = torch.zeros(len(rows), dtype=torch.bool)
    is_valid[order[:size]] = True
    return rows.select(marked(~is_valid)), rows.select(marked(is_valid))


def is_number(validation: Any) -> bool:
    """Whether `validation` is a share or a number of rows.

    Raises:
        ValueError: True or False, which is neither.
    """
    if isinstance(validation, bool | np.bool_):
        raise ValueError(
            f"validation: expected a share, a number of rows, rows, or None, got {validation}; "
            "take validation=0.1, or None for no validation"
        )
    return isinstance(validation, float | int | np.number)
