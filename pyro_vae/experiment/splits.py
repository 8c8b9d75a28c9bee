"""The rows of an experiment: read from their source, some of them held out, all of them checked."""

import itertools
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pyro_vae.data import Placement, Selected, Splits, as_rows, binarized, load_splits
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


def read_source(options: DataOptions, data_shape: tuple[int, ...] | None) -> Splits:
    """The rows of a source, divided as the source divides them, and reshaped.

    Raises:
        ValueError: as `load_splits`; a shape that the rows don't have.
    """
    found = load_splits(
        os.path.expanduser(options.source), array=options.array, packed_bits=options.packed_bits
    )
    shape = data_shape or found.train.shape[1:]
    if math.prod(shape) != math.prod(found.train.shape[1:]):
        got = found.train.shape[1:]
        raise ValueError(
            f"{options.source}: expected rows of shape {shape}, got {got}; change data_shape or "
            "the data"
        )
    columns = found.columns
    if len(shape) > 1:  # the pixels of an image have no names
        columns = None
    if columns is not None:
        columns = _distinct(columns, options.source)
    return replace(
        found,
        train=found.train.reshape(-1, *shape),
        valid=_reshaped(found.valid, shape),
        test=_reshaped(found.test, shape),
        columns=columns,
    )


def _reshaped(rows: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if rows is None else rows.reshape(-1, *shape)


def _distinct(columns: Sequence[str], source: str) -> tuple[str, ...]:
    """Distinct names of columns: a blank one becomes its position, a repeated one gets a number."""
    names: list[str] = []
    for position, column in enumerate(columns):
        stem = str(column).strip() or f"column {position}"
        numbered = (f"{stem} ({count})" for count in itertools.count(2))
        names.append(next(name for name in itertools.chain([stem], numbered) if name not in names))
    changed = [
        name for name, column in zip(names, columns, strict=True) if name != str(column).strip()
    ]
    if changed:
        given = f"{len(changed)} of {len(names)} columns have no name or that of another"
        warnings.warn(
            f"{source}: {given}, and are called {', '.join(map(repr, changed[:5]))}", stacklevel=2
        )
    return tuple(names)


def hold_out(splits: Splits, options: DataOptions) -> ExperimentRows:
    """The test rows that the source names, or some of its rows at random.

    Raises:
        ValueError: fewer rows than are held out.
    """
    labels = _digit_labels() if options.source == "digits" else None
    if splits.test is not None:
        return ExperimentRows(splits, labels)
    order = np.random.default_rng(options.seed).permutation(len(splits.train))
    count = math.ceil(options.test * len(order)) if options.test < 1 else int(options.test)
    if not 0 < count < len(order):
        raise ValueError(
            f"data.test: expected to hold out at least 1 row of {options.source} and to leave at "
            f"least 1 to fit, got {count} of {len(order)} rows"
        )
    test, train = np.sort(order[:count]), np.sort(order[count:])
    of_test = None if labels is None else labels[test]
    held_out = replace(splits, test=splits.train[test])
    if isinstance(splits.train, np.memmap):
        return ExperimentRows(held_out, of_test, indices=train)
    return ExperimentRows(replace(held_out, train=splits.train[train]), of_test)


def read_data(options: DataOptions, data_shape: tuple[int, ...] | None) -> ExperimentRows:
    """The rows of a source, some of them held out."""
    return hold_out(read_source(options, data_shape), options)


def as_modelled(rows: np.ndarray, experiment: Experiment) -> np.ndarray:
    """Rows as the fitted model takes them; of binarized grey levels, the same bits each time."""
    if experiment.fit.binarize == "none":
        return rows
    generator = torch.Generator().manual_seed(experiment.data.seed)
    return binarized(Placement(grey=True).take(rows), generator).bool().numpy()


def check_rows(vae: VAE, splits: Splits, source: str, grey: bool = False) -> None:
    """Raise ValueError at the first row that doesn't fit the model, by its position."""
    parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    given = {name: rows for name, rows in parts.items() if rows is not None}
    placement = replace(placement_of(vae), grey=grey)
    for name, rows in given.items():
        where = f"{source}, {name}" if len(given) > 1 else source
        checked = as_rows(rows, vae.spec.data_shape, placement, name=where)
        for _ in checked_batches(vae, checked.batches(1024), where, grey):
            pass


def _digit_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    labels: np.ndarray = load_digits().target
    return labels
