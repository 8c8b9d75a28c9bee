"""Rows with their contexts: one vector (x, c) each, so that both go the same way."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vae.data.arrays import ArrayRows
from pyro_vae.data.checks import check_shape
from pyro_vae.data.loaders import DatasetRows, LoaderRows, undisturbed

Contexts = Callable[[Any, int], Tensor]
"""From the contexts of so many rows, of any kind, to those that the model takes, (n, C)."""


class GivenRows(ArrayRows):
    """The rows of x, flat, each with the numbers of its context at its end: (n, D + C).

    They are cut from where x lies, so that x may be sparse, or stay in a file.

    Arguments:
        x: rows, (n, *data_shape).
        context: of each row, (n, C).

    Example:
        >>> from pyro_vae.data import Placement
        >>> x = ArrayRows(torch.zeros(3, 2, 2), Placement())
        >>> next(GivenRows(x, torch.ones(3, 1)).batches(3))[0]
        tensor([0., 0., 0., 0., 1.])
    """

    def __init__(self, x: ArrayRows, context: Tensor) -> None:
        self.__dict__.update(x.__dict__)
        if x.index is not None:  # the rows are some of an array, and so are the indices
            whole = context.new_zeros(len(x.array), context.shape[1])
            whole[x.index] = context
            context = whole
        self.context = context

    @property
    def contexts(self) -> Tensor:
        """The contexts of these rows, in their order."""
        return self.context if self.index is None else self.context[self.index]

    @property
    def x(self) -> ArrayRows:
        """The rows alone."""
        alone = ArrayRows.__new__(ArrayRows)
        alone.__dict__.update(self.__dict__)
        return alone

    def _cut(self, index: slice | Tensor) -> Tensor:
        x = super()._cut(index)
        if isinstance(index, Tensor):
            index = index.to(self.context.device)
        return torch.cat([x.flatten(1), self.context[index].to(x)], -1)


class CandidateRows(GivenRows):
    """Rows with a label that they may have: the same row stands there once for each."""


class LoaderPairs(LoaderRows):
    """Batches of a DataLoader that gives pairs, rows x and their contexts, as (n, D + C).

    Arguments:
        x: the batches of x alone.
        data_shape: of a row.
        contexts: makes those of a batch.

    Example:
        >>> from pyro_vae.data import Placement
        >>> loader = DataLoader([(torch.zeros(2), torch.ones(1))] * 3, batch_size=2)
        >>> pairs = LoaderPairs(LoaderRows(loader, Placement()), (2,), lambda c, n: c)
        >>> next(pairs.batches(2))[0]
        tensor([0., 0., 1.])
    """

    def __init__(
        self, x: LoaderRows, data_shape: tuple[int, ...], contexts: Contexts
    ) -> None:
        self.__dict__.update(x.__dict__)
        self.x = x
        self.data_shape = data_shape
        self.contexts = contexts

    def _taken(self, batch: Any) -> Tensor:
        pair = list(batch.values()) if isinstance(batch, Mapping) else batch
        if not isinstance(pair, list | tuple) or len(pair) < 2:
            raise ValueError(
                f"{self.name}: expected batches that are pairs of rows and their contexts, got "
                f"{type(batch).__name__}; give (x, context)"
            )
        x = super()._taken(pair)
        check_shape(tuple(x.shape), self.data_shape, self.name)
        context = self.contexts(_collated(pair[1]), len(x))
        return torch.cat([x.flatten(1), context.to(x)], -1)


class DatasetPairs(DatasetRows):
    """Rows of a map-style Dataset of pairs (x, context), collated in batches, (n, D + C).

    Arguments:
        x: the rows x alone.
        data_shape: of a row.
        contexts: makes those of a batch.
    """

    def __init__(
        self, x: DatasetRows, data_shape: tuple[int, ...], contexts: Contexts
    ) -> None:
        self.__dict__.update(x.__dict__)
        self.x = x
        self.data_shape = data_shape
        self.contexts = contexts

    def _loaded(self, loader: DataLoader[Any]) -> LoaderRows:
        return LoaderPairs(super()._loaded(loader), self.data_shape, self.contexts)

    def select(self, index: Tensor) -> "DatasetPairs":
        return DatasetPairs(self.x.select(index), self.data_shape, self.contexts)


def pairs_of(
    x: Any, data_shape: tuple[int, ...], contexts: Contexts
) -> LoaderPairs | DatasetPairs:
    """The pairs of a DataLoader or a Dataset.

    Arguments:
        x: its rows alone, `LoaderRows` or `DatasetRows`.
        data_shape: of a row.
        contexts: makes those of a batch.
    """
    if isinstance(x, LoaderRows):
        return LoaderPairs(x, data_shape, contexts)
    return DatasetPairs(x, data_shape, contexts)


def in_memory(rows: LoaderPairs | DatasetPairs, size: int) -> GivenRows:
    """The rows of one pass, in batches of `size` where they have none of their own."""
    whole = torch.cat(list(undisturbed(rows.batches(size))))
    width = math.prod(rows.data_shape)
    x = whole[:, :width].unflatten(-1, rows.data_shape)
    return GivenRows(ArrayRows(x, rows.placement), whole[:, width:])


def _collated(context: Any) -> Any:
    """Contexts of a batch; those that are vectors of one number each as an array, (n, C)."""
    is_columns = isinstance(context, list | tuple) and all(
        isinstance(column, Tensor) and column.ndim == 1 for column in context
    )
    if is_columns:
        return torch.stack([column.double() for column in context], -1)
    if isinstance(context, Mapping):
        return {name: _numbers(values) for name, values in context.items()}
    return context


def _numbers(values: Any) -> Any:
    return values.numpy(force=True) if isinstance(values, Tensor) else values
