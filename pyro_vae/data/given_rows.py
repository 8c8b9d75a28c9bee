"""Rows with their contexts: one vector (x, c) each, so that both go the same way."""

import torch
from torch import Tensor

from pyro_vae.data.arrays import ArrayRows


class GivenRows(ArrayRows):
    """The rows of x, flat, each with the numbers of its context at its end: (n, D + C).

    They are cut from where x lies, so that x may be sparse, or stay in a file.

    Arguments:
        x: rows, (n, *data_shape).
        context: of each row, (n, C).

    Example:
        >>> from pyro_vae.data import Placement
        >>> x = ArrayRows(torch.zeros(3, 2, 2), Placement())
        >>> next(GivenRows(x, torch.ones(3, 1)).batches(3))[0]
        tensor([0., 0., 0., 0., 1.])
    """

    def __init__(self, x: ArrayRows, context: Tensor) -> None:
        self.__dict__.update(x.__dict__)
        if x.index is not None:  # the rows are some of an array, and so are the indices
            whole = context.new_zeros(len(x.array), context.shape[1])
            whole[x.index] = context
            context = whole
        self.context = context

    @property
    def contexts(self) -> Tensor:
        """The contexts of these rows, in their order."""
        return self.context if self.index is None else self.context[self.index]

    @property
    def x(self) -> ArrayRows:
        """The rows alone."""
        alone = ArrayRows.__new__(ArrayRows)
        alone.__dict__.update(self.__dict__)
        return alone

    def _cut(self, index: slice | Tensor) -> Tensor:
        x = super()._cut(index)
        if isinstance(index, Tensor):
            index = index.to(self.context.device)
        return torch.cat([x.flatten(1), self.context[index].to(x)], -1)


class CandidateRows(GivenRows):
    """Rows with a label that they may have: the same row stands there once for each."""
