"""The rows of a run of `fit`: training rows, validation rows, and the weights of both."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Generator, Tensor

from pyro_vae.data import ArrayRows, Rows
from pyro_vae.data.summary_statistics import RunningStatistics
from pyro_vae.training.weights import RowWeights

WeightedBatches = Iterator[tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class TrainingData:
    """The rows of a run.

    Attributes:
        train: the training rows.
        valid: the validation rows, where there are some.
        weights: how much each row counts; None where all count the same.
    """

    train: Rows
    valid: Rows | None = None
    weights: RowWeights | None = None

    @property
    def count_of_validation(self) -> int:
        """How many rows choose the best epoch."""
        return 0 if self.valid is None else self.valid.steps(1)

    def stacks(self, size: int, count: int, order: Generator) -> WeightedBatches:
        """An epoch of training batches in random order, up to `count` of one size in one tensor.

        Each comes with the weights of its rows.
        """
        if self.weights is None:
            return ((stack, None) for stack in self.train.stacks(size, count, order))
        return self.weights.stacked(self.train, size, count, order)

    def validation_batches(self, size: int) -> WeightedBatches:
        """The validation rows in batches, each with the weights of its rows."""
        if self.valid is None:
            return iter(())
        batches = self.valid.batches(size)
        if self.weights is None or self.weights.valid is None:
            return ((batch, None) for batch in batches)
        return zip(batches, self.weights.valid.batches(size), strict=True)


class TrainingRows:
    """The statistics of the training rows while all rows of an array pass in their order.

    Arguments:
        marks: which of the rows are training rows, (n,); None for all.
    """

    def __init__(self, marks: Tensor | None) -> None:
        self.marks = marks
        self.statistics = RunningStatistics()
        self._start = 0

    @classmethod
    def among(cls, rows: Rows, train: Rows) -> Self | None:
        """Those of `rows` that are in `train`; None where that can't be told from their order."""
        if not isinstance(rows, ArrayRows) or not isinstance(train, ArrayRows):
            return None
        if train is rows:
            return cls(None)
        if rows.index is not None or train.index is None:
            return None
        marks = torch.zeros(len(rows), dtype=torch.bool)
        marks[train.index] = True
        return cls(marks)

    def take(self, batch: Tensor) -> None:
        """The next rows of the pass."""
        stop = self._start + len(batch)
        if self.marks is not None:
            batch = batch[self.marks[self._start : stop].to(batch.device)]
        self.statistics.add(batch)
        self._start = stop
