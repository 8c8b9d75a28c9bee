"""The device and the type of batches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """The device and the floating-point type of batches.

    Attributes:
        device, dtype: where batches go, and as what.
        grey: whether bytes are grey levels, which are divided by 255.
    """

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    grey: bool = False

    def take(self, batch: Tensor | np.ndarray) -> Tensor:
        given = as_tensor(batch)
        numbers = given.to(self.device, self.dtype).contiguous()
        if self.grey and given.dtype == torch.uint8:
            return numbers / 255
        return numbers


CPU = Placement()


def as_tensor(array: Tensor | np.ndarray) -> Tensor:
    """The same numbers as a detached tensor; a copy only where torch can't share the memory."""
    if isinstance(array, Tensor):
        return array.detach()
    is_long_double = array.dtype.char == "g"
    dtype = np.float64 if is_long_double else array.dtype.newbyteorder("=")
    native = array.astype(dtype, copy=False)
    return torch.from_numpy(np.require(native, requirements=["C", "W"]))
