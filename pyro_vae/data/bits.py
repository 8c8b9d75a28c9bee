"""Rows of bits, eight to a byte, as they lie in the file and in memory."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.checks import Shape


@dataclass(frozen=True, eq=False)
class PackedBits:
    """Rows packed by `numpy.packbits(axis=1)`; they stay so, and are unpacked batch by batch.

    Arguments:
        array: (n, ⌈d / 8⌉) bytes: array, tensor or memmap.
        data_shape: the shape of one row, of d bits.

    Raises:
        ValueError: no bytes, or another number of them.

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
        width, shape = math.ceil(math.prod(self.data_shape) / 8), tuple(self.array.shape)
        if self.array.dtype not in (np.uint8, torch.uint8) or len(shape) != 2 or shape[1] != width:
            raise ValueError(
                f"PackedBits: expected uint8 of shape (n, {width}) for rows of shape "
                f"{tuple(self.data_shape)}, got "
                f"{self.array.dtype} {shape}; pack them by numpy.packbits(x.reshape(len(x), -1), "
                "axis=1)"
            )

    def __len__(self) -> int:
        return len(self.array)

    def unpack(self, rows: Tensor) -> Tensor:
        """Booleans (k, *data_shape) of k packed rows."""
        bits = (
            _words(rows.device)
            .index_select(0, rows.flatten().int())
            .view(torch.bool)
            .view(len(rows), -1)
        )
        return bits[:, : math.prod(self.data_shape)].reshape(-1, *self.data_shape)


@cache
def _words(device: torch.device) -> Tensor:
    """The eight bits of each of the 256 bytes, as the eight bytes of one integer."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return torch.from_numpy(bits.view(np.int64).ravel()).to(device)
