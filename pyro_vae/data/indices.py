"""Places of rows in an array, in four bytes each where they fit: they are all of the rows that lies
in memory.
"""

import torch
from torch import Tensor


def shuffled(count: int, generator: torch.Generator) -> Tensor:
    """The places of `count` rows in random order, the same as those of `torch.randperm` in any
    type.

    Example:
        >>> shuffled(3, torch.Generator().manual_seed(0)).sort().values
        tensor([0, 1, 2], dtype=torch.int32)
    """
    return torch.randperm(count, generator=generator, dtype=_kind(count))


def marked(rows: Tensor) -> Tensor:
    """The places at which `rows` is true, in ascending order.

    Example:
        >>> marked(torch.tensor([True, False, True]))
        tensor([0, 2], dtype=torch.int32)
    """
    return rows.nonzero().squeeze(1).to(_kind(len(rows)))


def _kind(count: int) -> torch.dtype:
    return torch.int32 if count < 2**31 else torch.int64
