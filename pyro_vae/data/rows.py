"""Rows of any origin as batches of tensors: array, tensor, memory map, Dataset, DataLoader."""

import math
from collections.abc import Iterator
from os import PathLike
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pyro_vae.arguments import warn_caller
from pyro_vae.data.annotated import is_anndata, matrix_of
from pyro_vae.data.arrays import ArrayRows, Selected, in_file
from pyro_vae.data.bits import PackedBits
from pyro_vae.data.checks import (
    Shape,
    as_array,
    check_array,
    check_shape,
    with_missing,
)
from pyro_vae.data.columns import Schema
from pyro_vae.data.frames import is_frame
from pyro_vae.data.loaders import DatasetRows, LoaderRows
from pyro_vae.data.matching import as_table
from pyro_vae.data.placement import CPU, Placement
from pyro_vae.data.sparse import SparseArray, is_sparse
from pyro_vae.data.tables import Table


class Rows(Protocol):
    """Anything that has a number of rows and gives them in batches."""

    def __len__(self) -> int: ...

    def steps(self, size: int) -> int:
        """The number of batches in one pass."""
        ...

    def batches(
        self, size: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """Batches of at most `size` rows on the device; a generator draws a random order."""
        ...

    def stacks(
        self, size: int, count: int, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """The same batches, at most `count` at a time: (k, size, *data_shape).

        A smaller last batch comes alone, as (1, rest, *data_shape).
        """
        ...


def as_rows(
    x: Any,
    data_shape: Shape,
    placement: Placement = CPU,
    *,
    name: str = "x",
    schema: Schema | None = None,
    missing: bool = False,
) -> Rows:
    """Data of any kind as `Rows`; shape and type are checked, the values are not.

    Arguments:
        x: array, tensor or memory map shaped (n, *data_shape), `Selected` rows of one,
            `PackedBits`, a `Table` or a DataFrame, or a Dataset or DataLoader of such rows; a SciPy
            sparse matrix, a torch sparse tensor or a `SparseArray`, whose batches alone are dense;
            a dataset of h5py, which stays in its file if it is in one piece or larger than 4 GiB;
            an AnnData object, whose X is taken.
        data_shape: shape of one row.
        placement: device and type of the batches.
        name: what the error messages call the data.
        schema: the columns of the model, by whose names a DataFrame is matched.
        missing: whether cells may be missing: nan, None, NA, or masked.

    Raises:
        ValueError: no rows, another shape, a type that holds no real numbers, or a DataFrame
            without a column of the model.

    Example:
        >>> [len(batch) for batch in as_rows(np.zeros((5, 2)), (2,)).batches(2)]
        [2, 2, 1]
    """
    if isinstance(x, ArrayRows | DatasetRows | LoaderRows):
        return x
    if isinstance(x, str | PathLike):
        path = repr(str(x))
        raise ValueError(
            f"{name}: expected rows, got the path {path}; read it: pyro_vae.data.load({path})"
        )
    if isinstance(x, Table) or is_frame(x):
        exact = placement.dtype == torch.float64
        x = _numbers_of(x, schema, name, missing, exact)
    if missing:
        x = with_missing(x, name)
    if isinstance(x, Dataset | DataLoader) and not isinstance(x, TensorDataset):
        return _of_torch(x, placement, name)
    if isinstance(x, PackedBits):
        check_shape((len(x), *x.data_shape), data_shape, name)
        return ArrayRows(x, placement)
    if isinstance(x, Selected):
        array = _array_of(x.array, data_shape, name)
        check_array(array, data_shape, name)
        return ArrayRows(array, placement, torch.from_numpy(x.indices))
    if isinstance(x, TensorDataset):
        x = x.tensors[0]
    array = _array_of(x, data_shape, name)
    check_array(array, data_shape, name)
    return ArrayRows(array, placement)


def _array_of(x: Any, data_shape: Shape, name: str) -> Any:
    """The array of rows that x is or holds: in memory, in its file, or sparse."""
    if is_anndata(x):
        x = matrix_of(x, name)
    if is_sparse(x):
        return _sparse(x, data_shape, name)
    if isinstance(x, Tensor | np.ndarray | SparseArray) or in_file(x):
        return x
    return as_array(x, name)


def _sparse(x: Any, data_shape: Shape, name: str) -> SparseArray:
    """A sparse matrix as rows of the shape asked for, where it has as many columns."""
    try:
        rows = SparseArray(x)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    fits = math.prod(rows.row_shape) == math.prod(data_shape)
    return rows.reshape(-1, *data_shape) if fits else rows


def _of_torch(
    x: Dataset[Any] | DataLoader[Any], placement: Placement, name: str
) -> Rows:
    if isinstance(x, IterableDataset):
        x = DataLoader(x, batch_size=256)
    if isinstance(x, DataLoader):
        return LoaderRows(x, placement, name)
    return DatasetRows(x, placement, name)


def _numbers_of(
    x: Any, schema: Schema | None, name: str, missing: bool, exact: bool
) -> np.ndarray:
    """The numbers of a table, matched by the names of its columns where the model knows them."""
    if schema is None and not isinstance(x, Table):
        return as_array(x, name)
    rows = as_table(x, schema, name, exact=exact)
    if rows is not x:  # a Table has its own notes, on how it was read
        for note in rows.notes:
            warn_caller(note)
    if not missing:
        rows.require_complete(name)
    return rows.values
