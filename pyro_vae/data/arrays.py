"""Rows that can be indexed, cut many batches at a time."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.bits import PackedBits
from pyro_vae.data.indices import shuffled
from pyro_vae.data.placement import Placement, as_tensor

MOST = 16
"""Batches that are cut together: beyond, the price of a call is small against that of its rows."""
NUMBERS = 2**18
"""Numbers that are cut together at most, where a batch has fewer: 1 MB of float32 is still in the
cache when used.
"""
LARGEST = 2**22
"""Numbers in a stack at most, where a batch has fewer: wide rows take no more memory than narrow
ones.
"""


@dataclass(frozen=True)
class Selected:
    """Some rows of an array, which stay where they are: in a file, where the array is a memmap.

    Attributes:
        array: (n, *data_shape).
        places: which rows, (k,) integers.

    Example:
        >>> len(Selected(np.zeros((5, 2)), np.array([0, 3])))
        2
    """

    array: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)


class ArrayRows:
    """Rows of a tensor, a NumPy array or `PackedBits`, on the device in their own type until they
    are cut.

    A memmap stays on disk, and random rows are read in the order in which they lie there.

    Arguments:
        array: (n, *data_shape).
        placement: device and type of the batches.
        index: which of the rows; all by default.
    """

    def __init__(
        self,
        array: Tensor | np.ndarray | PackedBits,
        placement: Placement,
        index: Tensor | None = None,
    ) -> None:
        stored = array.array if isinstance(array, PackedBits) else array
        self.array = (
            stored if isinstance(stored, np.memmap) else as_tensor(stored).to(placement.device)
        )
        self.packed = array if isinstance(array, PackedBits) else None
        self.placement, self.index = placement, index

    def __len__(self) -> int:
        return len(self.array if self.index is None else self.index)

    def steps(self, size: int) -> int:
        return math.ceil(len(self) / size)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        for stack in self.stacks(size, self._fitting(size, MOST, NUMBERS), generator):
            yield from stack.unbind()

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        order, count = self._order(generator), self._fitting(size, count, LARGEST)
        whole = len(self) // size * size
        for start, stop in pairwise([*range(0, whole, size * count), whole, len(self)]):
            if start < stop:
                rows = self._cut(slice(start, stop) if order is None else order[start:stop])
                yield rows.unflatten(0, (-1, min(size, stop - start)))

    def select(self, index: Tensor) -> "ArrayRows":
        """The rows at `index`, as a view that cuts from the same array."""
        part = copy.copy(self)
        part.index = index if self.index is None else self.index[index]
        return part

    def _fitting(self, size: int, count: int, numbers: int) -> int:
        """As many batches, at most `count`, as hold that many numbers."""
        width = math.prod(self.array.shape[1:]) * (1 if self.packed is None else 8)
        return max(1, min(count, numbers // (size * width)))

    def _order(self, generator: torch.Generator | None) -> Tensor | None:
        """The places of the rows of one pass in the array, where they don't simply follow each
        other.
        """
        if generator is None:
            order = self.index
        else:
            drawn = shuffled(len(self), generator)
            order = drawn if self.index is None else self.index.index_select(0, drawn)
        return (
            order.to(self.array.device)
            if isinstance(self.array, Tensor) and order is not None
            else order
        )

    def _cut(self, place: slice | Tensor) -> Tensor:
        if isinstance(self.array, np.memmap):
            rows = _read(self.array, place).to(self.placement.device)
        else:
            rows = (
                self.array[place] if isinstance(place, slice) else self.array.index_select(0, place)
            )
        return self.placement.take(rows if self.packed is None else self.packed.unpack(rows))


def _read(array: np.memmap, place: slice | Tensor) -> Tensor:
    """The rows of a file at some place, each read once, in the order of the file."""
    if isinstance(place, slice):
        return as_tensor(array[place])
    places, order = place.sort()
    return as_tensor(array[places.numpy()])[order.argsort()]
