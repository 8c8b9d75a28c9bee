"""Rows of any origin (array, tensor, memmap, Dataset, DataLoader) as batches of tensors, without a loop over rows."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from pyro_vae.data.supports import describe as describe

Shape = tuple[int, ...]


class Rows(Protocol):
    """Anything that has a number of rows and gives them in batches."""

    def __len__(self) -> int: ...

    def steps(self, size: int) -> int:
        """The number of batches in one pass."""
        ...

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Batches of at most `size` rows on the device; in random order where a generator is given."""
        ...


@dataclass(frozen=True)
class Target:
    """Where batches go: a device and a floating-point type."""

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    def take(self, batch: Tensor | np.ndarray) -> Tensor:
        return as_tensor(batch).to(self.device, self.dtype).contiguous()


def as_tensor(array: Tensor | np.ndarray) -> Tensor:
    """The same numbers as a tensor without a history; copied only where torch can't share an array's memory."""
    if isinstance(array, Tensor):
        return array.detach()
    plain = array.astype(np.float64 if array.dtype.char == "g" else array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(plain, requirements=["C", "W"]))


class ArrayRows:
    """Rows of a tensor or a NumPy array. They stay in their own type until a batch is cut; a memmap stays on disk."""

    def __init__(self, array: Tensor | np.ndarray, target: Target) -> None:
        self.array = array if isinstance(array, np.memmap) else as_tensor(array).to(target.device)
        self.target = target

    def __len__(self) -> int:
        return len(self.array)

    def steps(self, size: int) -> int:
        return math.ceil(len(self) / size)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        order = None if generator is None else torch.randperm(len(self), generator=generator)
        for start in range(0, len(self), size):
            yield self._cut(slice(start, start + size) if order is None else order[start : start + size])

    def _cut(self, index: slice | Tensor) -> Tensor:
        if isinstance(self.array, Tensor):
            rows = index if isinstance(index, slice) else index.to(self.array.device)
            return self.target.take(self.array[rows])
        return self.target.take(self.array[index if isinstance(index, slice) else index.numpy()])

    def select(self, index: Tensor) -> "ArrayRows":
        """The rows at `index`, as a view that cuts from the same array."""
        return SelectedRows(self, index)


class SelectedRows(ArrayRows):
    """Some rows of an array, by their indices; nothing is copied."""

    def __init__(self, rows: ArrayRows, index: Tensor) -> None:
        self.array, self.target, self.index = rows.array, rows.target, index

    def __len__(self) -> int:
        return len(self.index)

    def _cut(self, index: slice | Tensor) -> Tensor:
        return super()._cut(self.index[index])


class LoaderRows:
    """Batches of a DataLoader, in its own size and order. Of a batch of several tensors the first is taken."""

    def __init__(self, loader: DataLoader[Any], target: Target, name: str = "x") -> None:
        self.loader, self.target, self.name = loader, target, name
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
            array = first if isinstance(first, Tensor | np.ndarray) else _as_array(first, self.name)
            check_numbers(array, self.name)
            empty = False
            yield self.target.take(array)
        if empty:
            raise ValueError(f"{self.name}: expected at least one row in each pass over the loader, got none")


class DatasetRows:
    """Rows of a map-style Dataset, collated in batches of the size and the order that are asked for."""

    def __init__(self, dataset: Dataset[Any], target: Target, name: str = "x") -> None:
        self.dataset, self.target, self.name = dataset, target, name

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def steps(self, size: int) -> int:
        return math.ceil(len(self) / size)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        order = range(len(self)) if generator is None else torch.randperm(len(self), generator=generator).tolist()
        loader: DataLoader[Any] = DataLoader(self.dataset, batch_size=size, sampler=order, generator=torch.Generator())
        return LoaderRows(loader, self.target, self.name).batches(size)

    def select(self, index: Tensor) -> "DatasetRows":
        """The rows at `index`, from the same dataset."""
        return DatasetRows(Subset(self.dataset, index.tolist()), self.target, self.name)


def as_rows(x: Any, data_shape: Shape, target: Target = Target(), *, name: str = "x") -> Rows:
    """Whatever holds the data, as `Rows`; its shape and type are checked, its values are not yet.

    Arguments:
        x: array, tensor or memmap shaped (n, *data_shape), or a Dataset or DataLoader of such rows.
        data_shape: shape of one row.
        target: device and type of the batches.
        name: what the error messages call the data.

    Raises:
        ValueError: no rows, another shape, or a type that holds no real numbers.

    Example:
        >>> [len(batch) for batch in as_rows(np.zeros((5, 2)), (2,)).batches(2)]
        [2, 2, 1]
    """
    if isinstance(x, ArrayRows | DatasetRows | LoaderRows):
        return x
    if isinstance(x, TensorDataset):
        x = x.tensors[0]
    if isinstance(x, IterableDataset):
        x = DataLoader(x, batch_size=256)
    if isinstance(x, DataLoader):
        return LoaderRows(x, target, name)
    if isinstance(x, Dataset):
        return DatasetRows(x, target, name)
    array = x if isinstance(x, Tensor | np.ndarray) else _as_array(x, name)
    check_array(array, data_shape, name)
    return ArrayRows(array, target)


def _as_array(x: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array of rows of one length, got rows that differ: {error}") from error


def check_numbers(array: Tensor | np.ndarray, name: str) -> None:
    """Raise ValueError unless the array holds real numbers, all of them there."""
    real = not array.dtype.is_complex if isinstance(array, Tensor) else array.dtype.kind in "biuf"
    if not real:
        raise ValueError(
            f"{name}: expected real numbers, got dtype {array.dtype}; convert it first, for example x.astype('float32')"
        )
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(f"{name}: expected all numbers to be there, got a masked array; fill or drop the masked rows")


def check_array(array: Tensor | np.ndarray, data_shape: Shape, name: str) -> None:
    """Raise ValueError unless the array holds real numbers in rows of `data_shape`."""
    check_numbers(array, name)
    shape = tuple(array.shape)
    if shape[:1] == (0,):
        raise ValueError(f"{name}: expected at least one row, got none (shape {shape})")
    if shape[1:] != tuple(data_shape):
        same_size = len(shape) > 0 and math.prod(shape[1:]) == math.prod(data_shape)
        remedy = (
            f"reshape it to (n, {', '.join(map(str, data_shape))})" if same_size else "change data_shape or the data"
        )
        raise ValueError(f"{name}: expected rows of shape {tuple(data_shape)}, got {shape[1:]} in {shape}; {remedy}")


@dataclass(frozen=True)
class Statistics:
    """What modules may know of the training rows before the first step.

    Attributes:
        rows: their number.
        mean, std: per feature, shaped data_shape, in float64.
        sample: the first rows of one random batch, for parts that start from data.
    """

    rows: int
    mean: Tensor
    std: Tensor
    sample: Tensor


def statistics(batches: Iterable[Tensor]) -> Statistics:
    """Mean and standard deviation per feature in one pass, by Chan's update of the sum of squares.

    All is computed relative to the first row, so that a large offset costs no digits.

    References:
        Algorithms for computing the sample variance (Chan, Golub, LeVeque, 1983).

    Example:
        >>> statistics([torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0]])]).mean
        tensor([2.], dtype=torch.float64)
    """
    rows, mean, squares, sample = 0, torch.tensor(0.0), torch.tensor(0.0), torch.empty(0)
    origin = torch.tensor(0.0)
    for batch in batches:
        origin = origin if rows else batch[0].double()
        wide = batch.double() - origin
        delta = wide.mean(0) - mean
        total = rows + len(batch)
        squares = squares + (wide - wide.mean(0)).square().sum(0) + delta.square() * (rows * len(batch) / total)
        mean = mean + delta * (len(batch) / total)
        rows, sample = total, sample if rows else batch
    return Statistics(rows, origin + mean, (squares / max(rows, 1)).sqrt(), sample)


def checked(batches: Iterable[Tensor], data_shape: Shape, *, support: Any, remedy: str, name: str) -> Iterator[Tensor]:
    """The same batches, each looked at as it passes: its shape, that every number is finite, that it is in the support.

    Raises:
        ValueError: with the first offending row and column, what was found there, and what to do.
    """
    start = 0
    for batch in batches:
        check_array(batch, data_shape, name)
        finite = torch.isfinite(batch)
        if not finite.all():
            place = _first(~finite, batch, start)
            raise ValueError(f"{name}: expected finite numbers, got {place}; replace or drop such rows")
        inside = support.check(batch)
        inside = inside.reshape(*inside.shape, *(1,) * (batch.ndim - inside.ndim)).expand_as(batch)
        if not inside.all():
            place = _first(~inside, batch, start)
            raise ValueError(f"{name}: expected values in the support {describe(support)}, got {place}; {remedy}")
        start += len(batch)
        yield batch


def _first(bad: Tensor, batch: Tensor, start: int) -> str:
    row, *column = (int(i) for i in bad.nonzero()[0])
    where = column[0] if len(column) == 1 else tuple(column)
    return f"{batch[(row, *column)].item():g} in row {start + row}, column {where}"
