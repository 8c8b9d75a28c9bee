"""The score that a model has to beat: its likelihood with independent columns."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pyro_vae.data import LoaderRows
from pyro_vae.data.arrays import LARGEST
from pyro_vae.inputs import model_rows
from pyro_vae.labels import label_of, log_prob_of
from pyro_vae.likelihoods.base import independent_columns
from pyro_vae.training.training_data import TrainingData
from pyro_vae.vae import VAE

SIZE = 1024
"""Rows at once, and fewer where they are wide."""


def baseline_of(vae: VAE, x: Any) -> float | None:
    """Mean log p(x) in nats per row of independent columns with the training rows' moments.

    Arguments:
        vae: a fitted model.
        x: rows, (n, *data_shape).

    Returns:
        The mean; None where the likelihood has no such form, such as one of the user's own.
    """
    rows = model_rows(vae, x)
    return _score(vae, ((batch, None) for batch in rows.batches(_size(vae))))


def independent_score(vae: VAE, data: TrainingData) -> float | None:
    """The same of the validation rows, and without them of the training rows.

    None where a DataLoader gives the training rows: a pass over it would cost too much.
    """
    if data.valid is not None:
        return _score(vae, data.validation_batches(_size(vae)))
    if isinstance(data.train, LoaderRows):
        return None
    return _score(vae, ((batch, None) for batch in data.train.batches(_size(vae))))


def _size(vae: VAE) -> int:
    """Rows at once, so that a batch stays small in memory."""
    return max(1, min(SIZE, LARGEST // math.prod(vae.spec.data_shape)))


def _score(vae: VAE, batches: Iterable[tuple[Tensor, Tensor | None]]) -> float | None:
    """Mean log p(x) of the rows in the batches, each counted by its weight.

    It is log p(x, y) of those whose label is known, as the bound is that it is compared with.
    """
    p = independent_columns(vae.likelihood)
    if p is None:
        return None
    total = 0.0
    count = 0.0
    with torch.no_grad():
        for batch, weights in batches:
            rows, context = vae.model.split(batch)
            log_p = p.log_prob(rows).double()
            if vae.model.label is not None and context is not None:
                log_p += log_prob_of(label_of(context), vae.model.label())
            if weights is None:
                total += float(log_p.sum())
                count += len(batch)
            else:
                total += float((weights * log_p).sum())
                count += float(weights.sum())
    return total / count
