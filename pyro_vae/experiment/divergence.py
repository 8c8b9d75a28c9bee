"""The error of a run that diverged: which rows, where the best weights are, how to look at them."""

import json
import shlex
from contextlib import suppress

import numpy as np

from pyro_vae.data import Splits
from pyro_vae.distributed.launch import launched_first
from pyro_vae.experiment.description import DataOptions, Experiment
from pyro_vae.experiment.splits import ExperimentRows
from pyro_vae.experiment.target import Target
from pyro_vae.saving import write_model
from pyro_vae.training.nonfinite import KEPT, SHOWN, NotFiniteError, about_rows
from pyro_vae.vae import VAE

NOTHING = "no epoch was saved before"
DIVIDING = ("source", "test", "seed")
"""Options of the data that don't say how a file is read."""


def diverged(
    error: NotFiniteError,
    vae: VAE,
    rows: ExperimentRows,
    source: Splits,
    experiment: Experiment,
    target: Target,
) -> ValueError:
    """The error with the rows in their source, and with the folder of the best weights.

    These are written as a model, which commands and `load` take; where nothing was saved, nothing
    is left of the run.
    """
    is_saved = target.checkpoint.exists()
    message = error.with_kept(KEPT if is_saved else NOTHING)
    if error.rows:
        numbers = _in_source(error.rows, rows, source)
        named = about_rows(numbers, source.labels)
        command = _command(experiment.data, numbers)
        message += f"; in {source.name}: {named}; look there with {command}"
    if not launched_first():
        return ValueError(message)
    if not is_saved:
        target.forget()
        return ValueError(message)
    best = target.unfinished / "best"
    with suppress(OSError):  # on a full disk the sentence is what counts
        message += f"; the best weights are in {write_model(vae, best, overwrite=True)}"
    return ValueError(message)


def _in_source(
    numbers: tuple[int, ...], rows: ExperimentRows, source: Splits
) -> list[int]:
    """The numbers of rows in their source, of which some were held out."""
    fitted = np.arange(len(source.train))
    if source.test is None:
        fitted = np.delete(fitted, rows.row_numbers)
    found: list[int] = fitted[list(numbers)].tolist()
    return found


def _command(data: DataOptions, numbers: list[int]) -> str:
    """The command that shows rows of a source, read as it was.

    Example:
        >>> print(_command(DataOptions(source="a b.csv", decimal=","), [3, 4]))
        pyro-vae inspect 'a b.csv' --row 3 --row 4 --set 'data.decimal=","'
    """
    words = ["pyro-vae", "inspect", data.source]
    for number in numbers[:SHOWN]:
        words += ["--row", str(number)]
    given = data.model_dump(mode="json", exclude_defaults=True, exclude={*DIVIDING})
    for name, value in given.items():
        words += ["--set", f"data.{name}={json.dumps(value)}"]
    return shlex.join(words)
