"""Whether the cast of rows to float32 gives the model the data that were given."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.arrays import ArrayRows
from pyro_vae.data.loaders import DatasetRows, LoaderRows
from pyro_vae.data.summary_statistics import statistics
from pyro_vae.rng import own_seed

TOLERANCE = 1e-3
"""Rounding in standard deviations of the column. A value that is moved by e standard deviations
changes log p by about e nats where it lies one standard deviation out, up or down as it is rounded:
1e-3 nats a cell, which average out.
"""

Source = ArrayRows | DatasetRows | LoaderRows


def require_precision(
    rows: Source, size: int, name: str, *, std: Tensor | None = None, shift: bool = True
) -> None:
    """Raise ValueError where the cast to float32 moves the values of a column by a share of its
    spread that matters.

    It reads once more the rows that come in float64 or in wide integers. A column that never varies
    is let through: its value has no spread to be compared with.

    Arguments:
        rows: for a model in float32; nothing is asked of other models.
        size: rows that are read at a time.
        name: what the message calls the data.
        std: spread of each column; None: that of the rows.
        shift: whether the columns may be shifted, which is then a remedy.
    """
    if rows.placement.dtype != torch.float32 or (
        isinstance(rows, ArrayRows) and _fits(rows.array.dtype)
    ):
        return
    exact = copy.copy(rows)
    exact.placement = replace(
        rows.placement, device=torch.device("cpu"), dtype=torch.float64, grey=False
    )
    if not isinstance(rows, ArrayRows) and not _moved(next(_undisturbed(exact, size))).any():
        return  # a stream of float32, as far as its first batch says
    error = torch.zeros(())

    def watched() -> Iterator[Tensor]:
        nonlocal error
        for batch in _undisturbed(exact, size):
            error = torch.maximum(error, _moved(batch).amax(0))
            yield batch

    found = statistics(watched())
    spread = found.std if std is None else torch.where(std.cpu() > 0, std.cpu().double(), found.std)
    lost = torch.where(spread > 0, error / spread, 0.0)
    if lost.max() > TOLERANCE:
        worst = int(lost.argmax())
        feature = tuple(int(i) for i in np.unravel_index(worst, lost.shape))
        mean, moved, width = (float(part.flatten()[worst]) for part in (found.mean, error, spread))
        raise ValueError(_message(name, feature, mean, moved, width, shift))


def _undisturbed(rows: Source, size: int) -> Iterator[Tensor]:
    """The batches; a DataLoader draws random numbers for each pass, and none of them are the
    caller's.
    """
    batches = rows.batches(size)
    while True:
        with own_seed(0):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _moved(batch: Tensor) -> Tensor:
    """By how much each number is moved; 0 where it is beyond float32, which the check of finite
    numbers refuses.
    """
    return (batch - batch.float().double()).abs().nan_to_num(0.0, posinf=0.0)


def _fits(dtype: Any) -> bool:
    """Whether float32 holds every number of a type: up to 32 bits of floating point, up to 16 bits
    of integers.
    """
    floating = dtype.is_floating_point if isinstance(dtype, torch.dtype) else dtype.kind == "f"
    return bool(dtype.itemsize <= (4 if floating else 2))


def _message(
    name: str, feature: tuple[int, ...], mean: float, error: float, spread: float, shift: bool
) -> str:
    column = feature[0] if len(feature) == 1 else feature
    double = "take a model in float64, vae = VAE(...).double()"
    remedy = (
        f"subtract the column's mean in float64 first, x - x.mean(0), or {double}"
        if shift
        else double
    )
    return (
        f"{name}: column {column} has values around {mean:.10g} with standard deviation "
        f"{spread:.3g}, and float32, the type of the model, rounds them by up to {error:.3g} "
        f"({error / spread:.1g} of it): the model would see other data; {remedy}"
    )
