"""Indices of rows in an array, in four bytes each where they fit.

For rows in a file the indices are all that is in memory.
"""

import torch
from torch import Tensor


def shuffled(count: int, generator: torch.Generator) -> Tensor:
    """The indices of `count` rows in random order, those of `torch.randperm` in any type.

    Example:
        >>> shuffled(3, torch.Generator().manual_seed(0)).sort().values
        tensor([0, 1, 2], dtype=torch.int32)
    """
    return torch.randperm(count, generator=generator, dtype=_index_type(count))


def marked(rows: Tensor) -> Tensor:
    """The indices at which `rows` is true, in ascending order.

    Example:
        >>> marked(torch.tensor([True, False, True]))
        tensor([0, 2], dtype=torch.int32)
    """
    return rows.nonzero().squeeze(1).to(_index_type(len(rows)))


def _index_type(count: int) -> torch.dtype:
    return torch.int32 if count < 2**31 else torch.int64
