"""The rows of an epoch in random order, in the two ways that people cut batches."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.speed.sizes import Size

Batches = Callable[[], Iterator[Tensor]]


def by_index(size: Size) -> Batches:
    """From one tensor."""
    x = size.rows()

    def batches() -> Iterator[Tensor]:
        order = torch.randperm(len(x))
        for start in range(0, len(x), size.batch_size):
            yield x[order[start : start + size.batch_size]]

    return batches


def by_loader(size: Size) -> Batches:
    """Row by row."""
    loader = DataLoader(TensorDataset(size.rows()), size.batch_size, shuffle=True)
    return lambda: (batch for (batch,) in loader)
