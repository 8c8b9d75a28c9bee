"""Rows of bits, packed eight to a byte in the file and in memory."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.checks import Shape


@dataclass(frozen=True, eq=False)
class PackedBits:
    """Rows packed by `numpy.packbits(axis=1)`, which are unpacked batch by batch.

    Arguments:
        array: (n, ⌈d / 8⌉) bytes: array, tensor or memmap.
        data_shape: the shape of one row, of d bits.

    Raises:
        ValueError: not an array of bytes, or another number of them in a row.

    Example:
        >>> x = np.array([[[1, 0, 1], [0, 1, 1]]])
        >>> packed = PackedBits(np.packbits(x.reshape(1, 6), axis=1), (2, 3))
        >>> packed.unpack(torch.as_tensor(packed.array)).int()
        tensor([[[1, 0, 1],
                 [0, 1, 1]]], dtype=torch.int32)
    """

    array: Tensor | np.ndarray
    data_shape: Shape

    def __post_init__(self) -> None:
        width = math.ceil(math.prod(self.data_shape) / 8)
        shape = tuple(self.array.shape)
        dtype = self.array.dtype
        if dtype not in (np.uint8, torch.uint8) or len(shape) != 2 or shape[1] != width:
            raise ValueError(
                f"PackedBits: expected uint8 of shape (n, {width}) for rows of shape "
                f"{tuple(self.data_shape)}, got {dtype} {shape}; "
                "pack them by numpy.packbits(x.reshape(len(x), -1), axis=1)"
            )

    def __len__(self) -> int:
        return len(self.array)

    def unpack(self, rows: Tensor) -> Tensor:
        """Booleans (k, *data_shape) of k packed rows."""
        words = _words(rows.device).index_select(0, rows.flatten().int())
        bits = words.view(torch.bool).view(len(rows), -1)
        size = math.prod(self.data_shape)
        return bits[:, :size].reshape(-1, *self.data_shape)


@cache
def _words(device: torch.device) -> Tensor:
    """For each of the 256 bytes its eight bits, as the eight bytes of one integer."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return torch.from_numpy(bits.view(np.int64).ravel()).to(device)
