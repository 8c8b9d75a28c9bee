"""Rows of Datasets and DataLoaders."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from pyro_vae.data.checks import as_array, check_numbers
from pyro_vae.data.placement import Placement
from pyro_vae.data.sparse import dense
from pyro_vae.rng import own_seed


class LoaderRows:
    """Batches of a DataLoader, in its own size and order; the first tensor of each batch."""

    def __init__(
        self, loader: DataLoader[Any], placement: Placement, name: str = "x"
    ) -> None:
        self.loader = loader
        self.placement = placement
        self.name = name
        self._steps: int | None = None
        self._length = (
            len(loader.dataset) if hasattr(loader.dataset, "__len__") else None
        )

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

    def batches(
        self, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        empty = True
        for batch in self.loader:
            empty = False
            yield self._taken(batch)
        if empty:  # such as a generator that has been read before
            raise ValueError(
                f"{self.name}: expected at least one row in each pass over the loader, got none"
            )

    def _taken(self, batch: Any) -> Tensor:
        array = self._first_array(batch)
        check_numbers(array, self.name)
        return self.placement.take(array)

    def _first_array(self, batch: Any) -> Tensor | np.ndarray:
        if isinstance(batch, Mapping):
            batch = next(iter(batch.values()))
        if isinstance(batch, list | tuple):
            batch = batch[0]
        batch = dense(batch)
        if isinstance(batch, Tensor | np.ndarray):
            return batch
        return as_array(batch, self.name)

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        return (batch.unsqueeze(0) for batch in self.batches(size, generator))


class DatasetRows:
    """Rows of a map-style Dataset, collated in batches."""

    def __init__(
        self, dataset: Dataset[Any], placement: Placement, name: str = "x"
    ) -> None:
        self.dataset = dataset
        self.placement = placement
        self.name = name

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def steps(self, size: int) -> int:
        return math.ceil(len(self) / size)

    def batches(
        self, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        order: Sequence[int] = range(len(self))
        if generator is not None:
            order = torch.randperm(len(self), generator=generator).tolist()
        loader: DataLoader[Any] = DataLoader(
            self.dataset, batch_size=size, sampler=order, generator=torch.Generator()
        )
        return self._loaded(loader).batches(size)

    def _loaded(self, loader: DataLoader[Any]) -> LoaderRows:
        return LoaderRows(loader, self.placement, self.name)

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        return (batch.unsqueeze(0) for batch in self.batches(size, generator))

    def select(self, index: Tensor) -> "DatasetRows":
        """The rows at `index`, from the same dataset."""
        return DatasetRows(
            Subset(self.dataset, index.tolist()), self.placement, self.name
        )


def undisturbed(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches, where a DataLoader's random numbers are not the caller's."""
    while True:
        # an iterator draws its seed when its first batch is asked for
        with own_seed(0):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
