"""Which of some rows a model was fitted to: those that equal one of its training rows, number for
number.
"""

import argparse
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import experiment_of, written

if TYPE_CHECKING:
    from pyro_vae.vae import VAE


def words(options: argparse.Namespace, vae: "VAE") -> str:
    """What `--data` are to the model of a run, in a sentence; nothing where they are the run's own
    test rows.
    """
    if options.data is None:
        return ""
    known = trained(options, vae)
    if known is None:
        return f"rows of {options.data}; whether the model was fitted to some of them can't be told any more\n"
    return f"rows of {options.data}; {known or 'none'} of them equal rows that the model was fitted to\n"


def trained(options: argparse.Namespace, vae: "VAE") -> int | None:
    """How many rows of `--data` equal rows of the run's training data; None where these can't be
    read any more.
    """
    import numpy as np

    from pyro_vae.experiment.description import Experiment
    from pyro_vae.experiment.splits import hold_out, read_source

    fields = written(options.run)
    if "data" not in fields:
        return None
    own = Experiment.model_validate(fields).data
    with warnings.catch_warnings(action="ignore"):
        rows = read_source(experiment_of(options).data, vae.spec.data_shape)
        try:
            held = hold_out(read_source(own, vae.spec.data_shape), own)
        except (OSError, ValueError):
            return None
    fitted = held.splits.train
    known = set(_hashes(fitted, np.arange(len(fitted)) if held.places is None else held.places))
    chosen = rows.train if rows.test is None else rows.test
    return sum(one in known for one in _hashes(chosen, np.arange(len(chosen))))


def _hashes(rows: Any, positions: Any) -> Iterator[int]:
    """A number for each row, equal for equal rows, whatever type their numbers have in their file."""
    for start in range(0, len(positions), 1000):
        part = rows[positions[start : start + 1000]].astype("float64") + 0.0  # -0.0 is 0.0
        yield from (hash(row.tobytes()) for row in part)
