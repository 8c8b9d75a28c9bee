"""The rows of an experiment: read from their source, some of them held out, all of them checked."""

import math
import os
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch

from pyro_vae.data import Placement, Selected, Splits, as_rows, binarized, load_splits
from pyro_vae.data.names import distinct, renaming
from pyro_vae.experiment.description import DataOptions, Experiment
from pyro_vae.inputs import checked_batches, placement_of
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class ExperimentRows:
    """The rows of an experiment, shaped as the model sees them.

    Attributes:
        splits: train, valid and test rows; test is never None.
        labels: of the test rows, where they are known.
        indices: of the train rows that are fitted, where they stay in their file; None for all.
    """

    splits: Splits
    labels: np.ndarray | None
    indices: np.ndarray | None = None

    @property
    def train(self) -> np.ndarray | Selected:
        """The rows to be fitted."""
        if self.indices is None:
            return self.splits.train
        return Selected(self.splits.train, self.indices)

    @property
    def test(self) -> np.ndarray:
        """The held-out rows."""
        assert self.splits.test is not None
        return self.splits.test


def read_source(
    options: DataOptions, data_shape: tuple[int, ...] | None, *, fitted: bool = False
) -> Splits:
    """The rows of a source, divided as the source divides them, and reshaped.

    Arguments:
        options: of the source.
        data_shape: of a row; None keeps the shape that the rows have.
        fitted: whether the shape is that of a fitted model, and can't be changed any more.

    Raises:
        ValueError: as `load_splits`; a shape that the rows don't have.
    """
    path = os.path.expanduser(options.source)
    splits = load_splits(path, array=options.array, packed_bits=options.packed_bits)
    got = splits.train.shape[1:]
    shape = data_shape or got
    if math.prod(shape) != math.prod(got):
        remedy = "pass rows of the model's shape"
        if not fitted:
            sizes = ",".join(map(str, got))
            remedy = f"set data_shape=[{sizes}], or give rows of shape {shape}"
        raise ValueError(
            f"{options.source}: expected rows of shape {shape}, got {got}; {remedy}"
        )
    columns = splits.columns
    if len(shape) > 1:  # the pixels of an image have no names
        columns = None
    if columns is not None:
        given = columns
        columns = distinct(given)
        renamed = renaming(given, columns)
        if renamed is not None:
            warnings.warn(f"{options.source}: {renamed}", stacklevel=2)
    return replace(
        splits,
        train=splits.train.reshape(-1, *shape),
        valid=_reshaped(splits.valid, shape),
        test=_reshaped(splits.test, shape),
        columns=columns,
    )


def _reshaped(rows: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if rows is None else rows.reshape(-1, *shape)


def hold_out(splits: Splits, options: DataOptions) -> ExperimentRows:
    """The test rows that the source names, or some of its rows at random.

    Raises:
        ValueError: fewer rows than are held out.
    """
    labels = _digit_labels() if options.source == "digits" else None
    if splits.test is not None:
        return ExperimentRows(splits, labels)
    order = np.random.default_rng(options.seed).permutation(len(splits.train))
    count = int(options.test)
    if options.test < 1:  # a share
        count = math.ceil(options.test * len(order))
    if not 0 < count < len(order):
        raise ValueError(
            f"data.test: expected to hold out at least 1 row of {options.source} and to leave at "
            f"least 1 to fit, got {count} of {len(order)} rows"
        )
    test = np.sort(order[:count])
    train = np.sort(order[count:])
    if labels is not None:
        labels = labels[test]
    held_out = replace(splits, test=splits.train[test])
    if isinstance(splits.train, np.memmap):  # its rows stay in the file
        return ExperimentRows(held_out, labels, indices=train)
    return ExperimentRows(replace(held_out, train=splits.train[train]), labels)


def read_data(
    options: DataOptions, data_shape: tuple[int, ...] | None
) -> ExperimentRows:
    """The rows of a source, some of them held out."""
    return hold_out(read_source(options, data_shape), options)


def as_modelled(rows: np.ndarray, experiment: Experiment) -> np.ndarray:
    """Rows as the fitted model takes them; grey levels are binarized to the same bits each time."""
    if experiment.fit.binarize == "none":
        return rows
    generator = torch.Generator().manual_seed(experiment.data.seed)
    return binarized(Placement(grey=True).take(rows), generator).bool().numpy()


def check_rows(vae: VAE, splits: Splits, source: str, grey: bool = False) -> None:
    """Raise ValueError at the first row that doesn't fit the model, by its position."""
    parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    given = {name: rows for name, rows in parts.items() if rows is not None}
    placement = replace(placement_of(vae), grey=grey)
    for split, rows in given.items():
        name = f"{source}, {split}" if len(given) > 1 else source
        batches = as_rows(rows, vae.spec.data_shape, placement, name=name).batches(1024)
        for _ in checked_batches(vae, batches, name, grey):
            pass  # the check is made as the batches pass


def _digit_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    labels: np.ndarray = load_digits().target
    return labels
