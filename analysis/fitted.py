"""What every question about a fitted model starts with: rows that are checked, and a model that is left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor
from tqdm import tqdm

from pyro_vae.data import Target, as_rows
from pyro_vae.training.fit import evaluating, inspect
from pyro_vae.vae import VAE


@contextmanager
def evaluation(vae: VAE) -> Iterator[None]:
    """No gradients, evaluation mode, no validation of each density; all as before after the block."""
    with torch.no_grad(), evaluating(vae), pyro.validation_enabled(False):
        yield


def rows_of(vae: VAE, x: Any, name: str, *, batch_size: int = 256, progress: bool | None = False) -> Iterator[Tensor]:
    """Checked batches of x on the model's device and in its type."""
    example = next(vae.parameters())
    rows = as_rows(x, vae.spec.data_shape, Target(example.device, example.dtype), name=name)
    batches = inspect(vae, rows.batches(batch_size), name)
    hidden = None if progress is None else not progress
    with tqdm(total=len(rows), disable=hidden, desc="log p(x)", unit="row", dynamic_ncols=True) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
