"""A fitted model, the rows that a command asks it about, and which of them it was fitted to."""

import argparse
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import check_settings, experiment_of

if TYPE_CHECKING:
    import numpy as np

    from pyro_vae.data import SparseArray, Splits
    from pyro_vae.experiment.description import Experiment
    from pyro_vae.experiment.splits import ExperimentRows
    from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Asked:
    """What a command works on.

    Attributes:
        vae: the model of the run.
        experiment: the description of the run, changed by the arguments.
        rows: those of `--data`, or the run's own test rows, as the model takes them.
        row_numbers: where they are in their file, from 0.
        row_labels: their names, where they have some.
        columns: their names, where they have some.
        source: what `--data` names; None for the run's own test rows.
        were_fitted: whether each row of `source` equals one that the model was fitted to; None
            where that isn't known.
        notes: sentences on how `source` was read.
        own: all rows of the run, with those that were fitted; None with `--data`.
    """

    vae: "VAE"
    experiment: "Experiment"
    rows: "np.ndarray | SparseArray"
    row_numbers: "np.ndarray"
    row_labels: tuple[Any, ...] | None
    columns: tuple[str, ...] | None
    source: str | None = None
    were_fitted: "np.ndarray | None" = None
    notes: tuple[str, ...] = ()
    own: "ExperimentRows | None" = None

    def evaluated(self) -> "Asked":
        """The same with the rows that `evaluate.rows` chooses."""
        from pyro_vae.experiment.description import chosen_rows

        chosen = chosen_rows(len(self.rows), self.experiment.evaluate)
        were_fitted = self.were_fitted
        if were_fitted is not None:
            were_fitted = were_fitted[chosen]
        return replace(
            self,
            rows=self.rows[chosen],
            row_numbers=self.row_numbers[chosen],
            row_labels=_some(self.row_labels, chosen),
            were_fitted=were_fitted,
        )

    @property
    def fitted_count(self) -> int | None:
        """How many rows equal rows that the model was fitted to; None where that isn't known."""
        return None if self.were_fitted is None else int(self.were_fitted.sum())

    def about_data(self) -> str:
        """How the rows of `--data` were read, and which the model was fitted to; "" without it."""
        if self.source is None:
            return ""
        notes = "".join(f"{note}\n" for note in self.notes)
        return f"{notes}rows of {self.source}; {self.about_fitted()}\n"

    def about_fitted(self) -> str:
        """How many of the rows the model was fitted to, in words."""
        count = self.fitted_count
        if count is None:
            reason = "the run has no rows.npz with the hashes of its rows"
            return f"whether the model was fitted to some of them is unknown: {reason}"
        share = f"{count or 'none'} of {len(self.rows)}"
        return f"{share} equal rows that the model was fitted to"


def _some(labels: tuple[Any, ...] | None, chosen: Any) -> tuple[Any, ...] | None:
    """The labels of some rows."""
    import numpy as np

    if labels is None:
        return None
    return tuple(labels[i] for i in np.arange(len(labels))[chosen])


def asked(options: argparse.Namespace) -> Asked:
    """The model of a run and the rows that `--data` asks for, or the run's own test rows.

    Raises:
        ValueError: no such run; rows that the model doesn't take; without `--data`, other rows than
            those of the run.
    """
    from pyro_vae.experiment.own_rows import read_own_rows
    from pyro_vae.experiment.splits import as_modelled, hold_out
    from pyro_vae.saving import load

    check_settings(options)
    vae = load(options.run)
    experiment = experiment_of(options)
    if options.data is not None:
        return _of_data(options, vae, experiment)
    spec = vae.spec
    source = read_own_rows(
        options.run, experiment.data, spec.data_shape, spec.table, spec.context
    )
    own = hold_out(source, experiment.data)
    rows = as_modelled(own.test, experiment)
    labels = None if own.row_labels is None else tuple(own.row_labels)
    found = Asked(vae, experiment, rows, own.row_numbers, labels, source.columns)
    return replace(found, own=own)


def _of_data(
    options: argparse.Namespace, vae: "VAE", experiment: "Experiment"
) -> Asked:
    import numpy as np
    import torch

    from pyro_vae.experiment.row_hashes import RowHashes
    from pyro_vae.experiment.sources import read_source
    from pyro_vae.experiment.splits import as_modelled, check_rows
    from pyro_vae.inputs import placement_of

    source = read_source(
        experiment.data,
        vae.spec.data_shape,
        fitted=True,
        schema=vae.spec.table,
        context=vae.spec.context,
        exact=placement_of(vae).dtype == torch.float64,
    )
    if source.table is not None and vae.spec.missing == "none":
        source.table.require_complete(options.data)
    check_rows(vae, source, options.data, grey=experiment.fit.binarize == "dynamic")
    rows = held_out_or_all(source)
    known = RowHashes.read(options.run)
    return Asked(
        vae,
        experiment,
        as_modelled(rows, experiment),
        np.arange(len(rows)),
        source.labels,
        source.columns,
        options.data,
        None if known is None else known.were_fitted(rows),
        source.notes,
    )


def held_out_or_all(rows: "Splits") -> "np.ndarray | SparseArray":
    """The test rows of a source, or all rows where it names no test rows."""
    return rows.train if rows.test is None else rows.test


def fitted(options: argparse.Namespace) -> "tuple[VAE, Experiment, Any]":
    """The model of a run, the description of the run, and the rows that `--data` asks for."""
    found = asked(options)
    return found.vae, found.experiment, found.rows
