"""Where batches go."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """Where batches go: a device and a floating-point type; whether bytes are grey levels, to be
    divided by 255.
    """

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    grey: bool = False

    def take(self, batch: Tensor | np.ndarray) -> Tensor:
        given = as_tensor(batch)
        numbers = given.to(self.device, self.dtype).contiguous()
        return numbers / 255 if self.grey and given.dtype == torch.uint8 else numbers


CPU = Placement()


def as_tensor(array: Tensor | np.ndarray) -> Tensor:
    """The same numbers as a tensor without a history; copied only where torch can't share an
    array's memory.
    """
    if isinstance(array, Tensor):
        return array.detach()
    plain = array.astype(
        np.float64 if array.dtype.char == "g" else array.dtype.newbyteorder("="), copy=False
    )
    return torch.from_numpy(np.require(plain, requirements=["C", "W"]))
