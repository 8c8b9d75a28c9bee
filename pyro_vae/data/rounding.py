"""Whether the cast of rows to float32 gives the model the data that were given."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.arrays import ArrayRows
from pyro_vae.data.loaders import DatasetRows, LoaderRows, undisturbed
from pyro_vae.data.summary_statistics import RunningStatistics

TOLERANCE = 1e-3
"""Rounding errors in standard deviations of the column.

A value that is moved by e standard deviations changes log p by about e nats where it is one
standard deviation from the mean. The errors have random signs: 1e-3 nats a cell average out.
"""

Source = ArrayRows | DatasetRows | LoaderRows


def require_precision(
    rows: Source,
    size: int,
    name: str,
    *,
    std: Tensor | None = None,
    shift: bool = True,
    columns: Sequence[str] | None = None,
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
        columns: their names, where they have some.
    """
    cast = Cast(rows)
    if not cast.rounds:
        return
    if not isinstance(rows, ArrayRows):
        first = next(undisturbed(cast.exact.batches(size)))
        if not _rounding_error(first).any():
            return  # a stream of float32, judged by its first batch
    for _ in cast.batches(size):
        pass
    cast.require_precision(size, name, std=std, shift=shift, columns=columns)


class Cast:
    """What the cast of rows to float32 changes, seen while they pass.

    Arguments:
        rows: for a model in float32; those for other models pass.

    Attributes:
        rounds: whether the rows have a type that float32 may round.
        exact: the rows in float64.
    """

    def __init__(self, rows: Source) -> None:
        fits = isinstance(rows, ArrayRows) and _fits(rows.array.dtype)
        self.rounds = rows.placement.dtype == torch.float32 and not fits
        self.rows = rows
        self.exact = copy.copy(rows)
        self.exact.placement = replace(
            rows.placement, device=torch.device("cpu"), dtype=torch.float64, grey=False
        )
        self.statistics = RunningStatistics()
        self.error = torch.zeros(())
        self.largest = torch.zeros(())

    def batches(self, size: int) -> Iterator[Tensor]:
        """The rows as the model sees them."""
        for batch in undisturbed(self.exact.batches(size)):
            self.statistics.add(batch)
            error = _rounding_error(batch).amax(0)
            self.error = torch.maximum(self.error, error)
            self.largest = torch.maximum(self.largest, batch.abs().amax(0))
            yield self.rows.placement.take(batch)

    def require_precision(
        self,
        size: int,
        name: str,
        *,
        std: Tensor | None = None,
        shift: bool = True,
        columns: Sequence[str] | None = None,
    ) -> None:
        """Raise ValueError, after all rows have passed, as the function of this name does."""
        found = self.statistics.result()
        error = self.error
        vanished = (self.largest > 0) & (self.largest.float() == 0)
        if vanished.any():
            raise ValueError(
                f"{name}: column {_name_at(vanished, columns)} has no number above "
                f"{float(self.largest[vanished][0]):.3g}, and float32, the type of the model, has "
                "none below 1.4e-45: change the unit of the column"
            )
        spread = found.std
        if std is not None:
            spread = torch.where(std.cpu() > 0, std.cpu().double(), spread)
        relative = torch.where(spread > 0, error / spread, 0.0)
        if relative.max() > TOLERANCE:
            number = int(relative.argmax())
            worst = tuple(map(int, np.unravel_index(number, relative.shape)))
            loss = Loss(
                name_of(worst, columns),
                float(found.mean[worst]),
                float(spread[worst]),
                float(error[worst]),
                *_different_values(self.exact, size, number),
            )
            raise ValueError(_message(name, loss, shift))


class Loss(NamedTuple):
    """What the cast does to one column.

    Attributes:
        column: its name, or its index.
        mean, spread: of the column; the spread that its errors are compared with.
        error: the largest rounding error.
        values, rounded: numbers of different values, and of those that are left.
    """

    column: str
    mean: float
    spread: float
    error: float
    values: int
    rounded: int


def _different_values(exact: Source, size: int, number: int) -> tuple[int, int]:
    """How many different values a column has, in float64 and in float32.

    Arguments:
        exact: the rows in float64.
        size: rows that are read at a time.
        number: of the column in flattened rows.
    """
    batches = undisturbed(exact.batches(size))
    column = torch.cat([batch.flatten(1)[:, number] for batch in batches])
    column = column[~column.isnan()]
    return len(column.unique()), len(column.float().unique())


def name_of(indices: tuple[int, ...], columns: Sequence[str] | None) -> str:
    """A column for a message: its name in quotes, or its index."""
    if len(indices) != 1:
        return str(indices)
    return repr(columns[indices[0]]) if columns else str(indices[0])


def _name_at(marked: Tensor, columns: Sequence[str] | None) -> str:
    """The first column that is marked."""
    return name_of(tuple(marked.nonzero()[0].tolist()), columns)


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


def _message(name: str, loss: Loss, shift: bool) -> str:
    remedy = "take a model in float64, vae = VAE(...).double()"
    if shift:
        remedy = (
            f"subtract the column's mean in float64 first, x - x.mean(0), or {remedy}"
        )
    return (
        f"{name}: column {loss.column} has values around {loss.mean:.10g} with standard deviation "
        f"{loss.spread:.3g}, and float32, the type of the model, rounds them by up to "
        f"{loss.error:.3g} ({loss.error / loss.spread:.1g} of it), so that {loss.rounded} of "
        f"{loss.values} different values are left: the model would see other data; {remedy}"
    )
