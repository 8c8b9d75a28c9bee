"""The rows of an experiment: read from their source, some of them held out, all of them checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pyro_vae.data import (
    Placement,
    Selected,
    SparseArray,
    Splits,
    binarized,
)
from pyro_vae.experiment.description import DataOptions, Experiment
from pyro_vae.experiment.sources import read_source
from pyro_vae.inputs import checked_batches, model_rows, placement_of
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class ExperimentRows:
    """The rows of an experiment, shaped as the model sees them.

    Attributes:
        splits: train, valid and test rows; test is never None.
        labels: the classes of the test rows, where they are known.
        row_numbers: of the test rows in their source, from 0; in its own array of test rows where
            it has one.
        indices: of the train rows that are fitted, where these stay in their file or in a sparse
            matrix; None for all.
        row_labels: the names of the test rows, where their source has some.
    """

    splits: Splits
    labels: np.ndarray | None
    row_numbers: np.ndarray
    indices: np.ndarray | None = None
    row_labels: np.ndarray | None = None

    @property
    def train(self) -> np.ndarray | SparseArray | Selected:
        """The rows to be fitted."""
        if self.indices is None:
            return self.splits.train
        return Selected(self.splits.train, self.indices)

    @property
    def test(self) -> np.ndarray | SparseArray:
        """The held-out rows."""
        assert self.splits.test is not None
        return self.splits.test


def hold_out(
    splits: Splits,
    options: DataOptions,
    row_labels: Sequence[Any] | np.ndarray | None = None,
) -> ExperimentRows:
    """The test rows that the source names, or some of its rows at random.

    Arguments:
        splits: the source.
        options: how many rows are held out, where the source doesn't say so.
        row_labels: the names of the rows from which the test rows are taken: those of `splits.test`
            where the source has some, else those of `splits.train`.

    Raises:
        ValueError: fewer rows than are held out.
    """
    labels = _digit_labels() if options.source == "digits" else None
    given = splits.labels if row_labels is None else row_labels
    names = None if given is None else _as_labels(given)
    if splits.test is not None:
        numbers = np.arange(len(splits.test))
        return ExperimentRows(splits, labels, numbers, row_labels=names)
    train, test = _divided(splits, options)
    if labels is not None:
        labels = labels[test]
    if names is not None:
        names = names[test]
    divided = replace(splits, test=splits.train[test])
    indices: np.ndarray | None = train
    stays = isinstance(splits.train, np.memmap | SparseArray)
    if not stays:  # others are copied
        divided = replace(divided, train=splits.train[train])
        indices = None
    return ExperimentRows(divided, labels, test, indices, names)


def _as_labels(labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Labels of any type, also tuples, as a one-dimensional array."""
    names = np.empty(len(labels), dtype=object)
    names[:] = list(labels)
    return names


def _divided(splits: Splits, options: DataOptions) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the rows that are fitted, and of those that are held out at random."""
    order = np.random.default_rng(options.seed).permutation(len(splits.train))
    count = int(options.test)
    if options.test < 1:  # a share
        count = math.ceil(options.test * len(order))
    if not 0 < count < len(order):
        raise ValueError(
            f"data.test: expected to hold out at least 1 row of {options.source} and to leave at "
            f"least 1 to fit, got {count} of {len(order)} rows"
        )
    return np.sort(order[count:]), np.sort(order[:count])


def read_data(
    options: DataOptions, data_shape: tuple[int, ...] | None
) -> ExperimentRows:
    """The rows of a source, some of them held out."""
    return hold_out(read_source(options, data_shape), options)


def as_modelled(
    rows: np.ndarray | SparseArray, experiment: Experiment
) -> np.ndarray | SparseArray:
    """Rows as the fitted model takes them; grey levels are binarized to the same bits each time."""
    if experiment.fit.binarize == "none":
        return rows
    generator = torch.Generator().manual_seed(experiment.data.seed)
    return (
        binarized(Placement(grey=True).take(np.asarray(rows)), generator).bool().numpy()
    )


def check_rows(vae: VAE, splits: Splits, source: str, grey: bool = False) -> None:
    """Raise ValueError at the first row that doesn't fit the model, by its position."""
    parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    given = {name: rows for name, rows in parts.items() if rows is not None}
    placement = replace(placement_of(vae), grey=grey)
    for split, rows in given.items():
        name = f"{source}, {split}" if len(given) > 1 else source
        batches = model_rows(vae, rows, placement, name=name).batches(1024)
        for _ in checked_batches(vae, batches, name, grey):
            pass  # the check is made as the batches pass


def _digit_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    labels: np.ndarray = load_digits().target
    return labels
