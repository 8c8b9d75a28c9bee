"""Rows that come one by one or in batches of their own: Datasets and DataLoaders."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from pyro_vae.data.checks import as_array, check_numbers
from pyro_vae.data.placement import Placement


class LoaderRows:
    """Batches of a DataLoader, in its own size and order. Of a batch of several tensors the first
    is taken.
    """

    def __init__(self, loader: DataLoader[Any], placement: Placement, name: str = "x") -> None:
        self.loader, self.placement, self.name = loader, placement, name
        self._steps: int | None = None
        self._length = len(loader.dataset) if hasattr(loader.dataset, "__len__") else None

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(len(batch) for batch in self.batches(0))
        return self._length

    def steps(self, size: int) -> int:
        if self._steps is None:
            try:
                self._steps = len(self.loader)
            except TypeError:
                self._steps = sum(1 for _ in self.loader)
        return self._steps

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        empty = True
        for batch in self.loader:
            first = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
            first = first[0] if isinstance(first, list | tuple) else first
            array = first if isinstance(first, Tensor | np.ndarray) else as_array(first, self.name)
            check_numbers(array, self.name)
            empty = False
            yield self.placement.take(array)
        if empty:
            raise ValueError(
                f"{self.name}: expected at least one row in each pass over the loader, got none"
            )

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        return (batch.unsqueeze(0) for batch in self.batches(size, generator))


class DatasetRows:
    """Rows of a map-style Dataset, collated in batches of the size and the order that are asked
    for.
    """

    def __init__(self, dataset: Dataset[Any], placement: Placement, name: str = "x") -> None:
        self.dataset, self.placement, self.name = dataset, placement, name

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def steps(self, size: int) -> int:
        return math.ceil(len(self) / size)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        order = (
            range(len(self))
            if generator is None
            else torch.randperm(len(self), generator=generator).tolist()
        )
        loader: DataLoader[Any] = DataLoader(
            self.dataset, batch_size=size, sampler=order, generator=torch.Generator()
        )
        return LoaderRows(loader, self.placement, self.name).batches(size)

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        return (batch.unsqueeze(0) for batch in self.batches(size, generator))

    def select(self, index: Tensor) -> "DatasetRows":
        """The rows at `index`, from the same dataset."""
        return DatasetRows(Subset(self.dataset, index.tolist()), self.placement, self.name)
