"""The number of rows that a model was fitted to: those that equal one of its training rows."""

import argparse
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import experiment_of, held_out_or_all

if TYPE_CHECKING:
    from pyro_vae.vae import VAE


def about_data(options: argparse.Namespace, vae: "VAE") -> str:
    """A sentence on how many rows of `--data` the model was fitted to; "" without `--data`."""
    if options.data is None:
        return ""
    count = trained(options, vae)
    rows = f"rows of {options.data}"
    if count is None:
        reason = "the training rows can't be read any more"
        return f"{rows}; whether the model was fitted to some of them is unknown: {reason}\n"
    return (
        f"{rows}; {count or 'none'} of them equal rows that the model was fitted to\n"
    )


def trained(options: argparse.Namespace, vae: "VAE") -> int | None:
    """How many rows of `--data` equal training rows; None where these can't be read any more."""
    import numpy as np

    from pyro_vae.experiment.description import Experiment, described_run
    from pyro_vae.experiment.splits import hold_out, read_source

    fields = described_run(options.run)
    if "data" not in fields:
        return None
    own = Experiment.model_validate(fields).data
    with warnings.catch_warnings(action="ignore"):
        rows = read_source(experiment_of(options).data, vae.spec.data_shape)
        try:
            held_out = hold_out(read_source(own, vae.spec.data_shape), own)
        except (OSError, ValueError):
            return None
    fitted = held_out.splits.train
    indices = np.arange(len(fitted)) if held_out.indices is None else held_out.indices
    known = set(_hashes(fitted, indices))
    chosen = held_out_or_all(rows)
    return sum(one in known for one in _hashes(chosen, np.arange(len(chosen))))


def _hashes(rows: Any, indices: Any) -> Iterator[int]:
    """A number for each row, equal for equal rows, whatever type a file stores them in."""
    import numpy as np

    for start in range(0, len(indices), 1000):
        part = np.asarray(rows[indices[start : start + 1000]], dtype="float64")
        for row in part + 0.0:  # -0.0 is 0.0
            yield hash(row.tobytes())
