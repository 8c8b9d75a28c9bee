"""What a model has to beat: the same likelihood without latent variables, each column by itself."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.data import LoaderRows, Placement, Rows, as_rows
from pyro_vae.data.arrays import LARGEST
from pyro_vae.training.epoch import weighted_batches
from pyro_vae.training.weights import RowWeights
from pyro_vae.vae import VAE

SIZE = 1024
"""Rows at once, and fewer where they are wide."""


def baseline_of(vae: VAE, x: Any) -> float | None:
    """Mean log p(x) in nats per row of independent columns, each with the moments of the rows that
    were trained on.

    None where the likelihood has no such form, as one of the user's.

    Arguments:
        vae: a fitted model.
        x: rows, (n, *data_shape).
    """
    weight = next(vae.parameters())
    rows = as_rows(x, vae.spec.data_shape, Placement(weight.device, weight.dtype))
    return _score(vae, ((batch, None) for batch in rows.batches(_size(vae))))


def independent_score(
    vae: VAE, train: Rows, valid: Rows | None, weights: RowWeights | None = None
) -> float | None:
    """The same of validation rows, and without them of the training rows; None where a loader gives
    those.
    """
    if valid is not None:
        return _score(vae, weighted_batches(valid, _size(vae), weights))
    return (
        None
        if isinstance(train, LoaderRows)
        else _score(vae, ((batch, None) for batch in train.batches(_size(vae))))
    )


def _size(vae: VAE) -> int:
    return max(1, min(SIZE, LARGEST // math.prod(vae.spec.data_shape)))


def _score(vae: VAE, batches: Iterable[tuple[Tensor, Tensor | None]]) -> float | None:
    independent = getattr(vae.likelihood, "independent", None)
    found = independent() if callable(independent) else None
    if not isinstance(found, Distribution):
        return None
    score, total = 0.0, 0.0
    with torch.no_grad():
        for batch, weights in batches:
            log_p = found.log_prob(batch).double()
            score += float(log_p.sum() if weights is None else (weights * log_p).sum())
            total += len(batch) if weights is None else float(weights.sum())
    return score / total
