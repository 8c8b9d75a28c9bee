"""Whether the cast of rows to float32 gives the model the data that were given."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.arrays import ArrayRows
from pyro_vae.data.loaders import DatasetRows, LoaderRows, undisturbed
from pyro_vae.data.summary_statistics import Statistics, statistics

TOLERANCE = 1e-3
"""Rounding errors in standard deviations of the column.

A value that is moved by e standard deviations changes log p by about e nats where it is one
standard deviation from the mean. The errors have random signs: 1e-3 nats a cell average out.
"""

Source = ArrayRows | DatasetRows | LoaderRows


def require_precision(
    rows: Source, size: int, name: str, *, std: Tensor | None = None, shift: bool = True
) -> None:
    """Raise ValueError where the cast to float32 changes a column by a share of its spread.

    Rows in float64 or in wide integers are read once more. A column that never varies passes: it
    has no spread to compare with.

    Arguments:
        rows: for a model in float32; those for other models pass.
        size: rows that are read at a time.
        name: what the message calls the data.
        std: spread of each column; by default that of the rows.
        shift: whether the columns may be shifted, which is then a remedy.
    """
    if rows.placement.dtype != torch.float32:
        return
    if isinstance(rows, ArrayRows) and _fits(rows.array.dtype):
        return
    exact = copy.copy(rows)
    exact.placement = replace(
        rows.placement, device=torch.device("cpu"), dtype=torch.float64, grey=False
    )
    if not isinstance(rows, ArrayRows):
        first = next(undisturbed(exact.batches(size)))
        if not _rounding_error(first).any():
            return  # a stream of float32, judged by its first batch
    columns, error = _columns(exact, size)
    spread = columns.std
    if std is not None:
        spread = torch.where(std.cpu() > 0, std.cpu().double(), spread)
    relative = torch.where(spread > 0, error / spread, 0.0)
    if relative.max() > TOLERANCE:
        worst = tuple(
            int(i) for i in np.unravel_index(int(relative.argmax()), relative.shape)
        )
        mean = float(columns.mean[worst])
        raise ValueError(
            _message(
                name, worst, mean, float(error[worst]), float(spread[worst]), shift
            )
        )


def _columns(exact: Source, size: int) -> tuple[Statistics, Tensor]:
    """The statistics of the columns, and the largest rounding error in each, in one pass."""
    error = torch.zeros(())

    def batches() -> Iterator[Tensor]:
        nonlocal error
        for batch in undisturbed(exact.batches(size)):
            error = torch.maximum(error, _rounding_error(batch).amax(0))
            yield batch

    columns = statistics(batches())
    return columns, error


def _rounding_error(batch: Tensor) -> Tensor:
    """What float32 changes each number by; 0 beyond its range, which another check refuses."""
    return (batch - batch.float().double()).abs().nan_to_num(0.0, posinf=0.0)


def _fits(dtype: Any) -> bool:
    """Whether float32 represents every number of a type: 32-bit floats, integers of 16 bits."""
    floating = (
        dtype.is_floating_point if isinstance(dtype, torch.dtype) else dtype.kind == "f"
    )
    widest = 4 if floating else 2
    return bool(dtype.itemsize <= widest)


def _message(
    name: str,
    feature: tuple[int, ...],
    mean: float,
    error: float,
    spread: float,
    shift: bool,
) -> str:
    column = feature[0] if len(feature) == 1 else feature
    remedy = "take a model in float64, vae = VAE(...).double()"
    if shift:
        remedy = (
            f"subtract the column's mean in float64 first, x - x.mean(0), or {remedy}"
        )
    return (
        f"{name}: column {column} has values around {mean:.10g} with standard deviation "
        f"{spread:.3g}, and float32, the type of the model, rounds them by up to {error:.3g} "
        f"({error / spread:.1g} of it): the model would see other data; {remedy}"
    )
