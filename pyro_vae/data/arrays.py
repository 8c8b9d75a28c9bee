"""Rows that can be indexed, cut many batches at a time."""

import copy
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.bits import PackedBits
from pyro_vae.data.indices import shuffled
from pyro_vae.data.placement import Placement, as_tensor
from pyro_vae.data.sparse import SparseArray

MOST = 16
"""Batches that are cut together at most: with more, the cost of a call no longer matters."""
NUMBERS = 2**18
"""Numbers that are cut together at most: 1 MB of float32 is still in the cache when it is used."""
IN_MEMORY = 2**32
"""Bytes of an HDF5 dataset in chunks that is read once: random rows read each chunk many times."""
LARGEST = 2**22
"""Numbers in a stack at most: wide rows take no more memory than narrow ones."""


@dataclass(frozen=True)
class Selected:
    """Some rows of an array, without a copy: those of a memory map stay in their file.

    Attributes:
        array: (n, *data_shape), which may be a `SparseArray`.
        indices: which rows, (k,) integers.

    Example:
        >>> len(Selected(np.zeros((5, 2)), np.array([0, 3])))
        2
    """

    array: np.ndarray | SparseArray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


class ArrayRows:
    """Rows of a tensor, a NumPy array, `PackedBits`, a `SparseArray` or an HDF5 dataset.

    They are kept on the device in their own type, and converted batch by batch. A memory map and a
    dataset stay on disk; random rows are read in the order of the file. Sparse rows stay on the
    CPU, and only batches of them are dense.

    Arguments:
        array: (n, *data_shape).
        placement: device and type of the batches.
        index: which of the rows; all by default.
    """

    def __init__(
        self,
        array: Tensor | np.ndarray | PackedBits | SparseArray | Any,
        placement: Placement,
        index: Tensor | None = None,
    ) -> None:
        self.packed: PackedBits | None = None
        if isinstance(array, PackedBits):
            self.packed = array
            array = array.array
        if not isinstance(array, SparseArray) and not in_file(array):
            array = as_tensor(array).to(placement.device)
        self.array: Tensor | np.memmap[Any, Any] | SparseArray | Any = array
        self.placement = placement
        self.index = index

    def __len__(self) -> int:
        return len(self.array if self.index is None else self.index)

    def steps(self, size: int) -> int:
        return math.ceil(len(self) / size)

    def batches(
        self, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        for stack in self.stacks(size, self._fitting(size, MOST, NUMBERS), generator):
            yield from stack.unbind()

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        order = self._order(generator)
        count = self._fitting(size, count, LARGEST)
        whole = (
            len(self) // size * size
        )  # the rows of all batches but a smaller last one
        for start, stop in pairwise([*range(0, whole, size * count), whole, len(self)]):
            if start < stop:
                index = slice(start, stop) if order is None else order[start:stop]
                yield self._cut(index).unflatten(0, (-1, min(size, stop - start)))

    def select(self, index: Tensor) -> "ArrayRows":
        """The rows at `index`, as a view that cuts from the same array."""
        part = copy.copy(self)
        part.index = index if self.index is None else self.index[index]
        return part

    def _fitting(self, size: int, count: int, numbers: int) -> int:
        """How many batches, at most `count`, have no more than so many numbers together."""
        width = math.prod(self.array.shape[1:])
        if self.packed is not None:
            width *= 8
        return max(1, min(count, numbers // (size * width)))

    def _order(self, generator: torch.Generator | None) -> Tensor | None:
        """The indices of the rows of one pass in the array; None for all in their order."""
        order = self.index
        if generator is not None:
            drawn = shuffled(len(self), generator)
            order = drawn if self.index is None else self.index.index_select(0, drawn)
        if order is not None and isinstance(self.array, Tensor):
            return order.to(self.array.device)
        return order

    def _cut(self, index: slice | Tensor) -> Tensor:
        if isinstance(self.array, SparseArray):
            rows = self.array.cut(index)
        elif not isinstance(self.array, Tensor):
            rows = _read(self.array, index).to(self.placement.device)
        elif isinstance(index, slice):
            rows = self.array[index]
        else:
            rows = self.array.index_select(0, index)
        if self.packed is not None:
            rows = self.packed.unpack(rows)
        return self.placement.take(rows)


def in_file(array: Any) -> bool:
    """Whether the rows of an array stay in a file: those of a memory map or of an HDF5 dataset.

    A dataset in chunks is read as a whole where it is no larger than `IN_MEMORY`.
    """
    if isinstance(array, np.memmap):
        return True
    h5py = sys.modules.get("h5py")  # imported where such an array was made
    if h5py is None or not isinstance(array, h5py.Dataset):
        return False
    return array.chunks is None or array.nbytes > IN_MEMORY


def _read(array: np.memmap, index: slice | Tensor) -> Tensor:
    """Rows of a file, each read once, in the order of the file."""
    if isinstance(index, slice):
        return as_tensor(array[index])
    ascending, order = index.sort()
    return as_tensor(array[ascending.numpy()])[order.argsort()]
