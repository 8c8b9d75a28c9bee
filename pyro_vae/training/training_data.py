"""The rows of a run of `fit`: training rows, validation rows, and the weights of both."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from pyro_vae.data import Rows
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
