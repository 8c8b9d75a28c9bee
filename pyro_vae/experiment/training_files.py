"""The training of a run in its folder: all of `Run` but the weights, which are the model."""

import json
from pathlib import Path
from typing import Any

from pyro_vae.experiment.history import best_epoch, read_history
from pyro_vae.experiment.run_files import HISTORY, TRAINING
from pyro_vae.training import FitOptions, Run
from pyro_vae.vae import VAE

FIELDS = (
    "best_epoch",
    "slept",
    "interrupted",
    "stopped",
    "skipped",
    "baseline",
    "is_importance_weighted",
)
"""The fields of `Run` that the file has as they are."""


def training_of(run: Run) -> dict[str, Any]:
    """All of a training but weights and history, for JSON."""
    fields = {name: getattr(run, name) for name in FIELDS}
    return {"options": run.options.model_dump(mode="json"), **fields}


def read_training(folder: Path, vae: VAE, asked: FitOptions) -> Run:
    """The training that a folder holds.

    Arguments:
        folder: of a run.
        vae: its model.
        asked: the options of its description, for a folder of a former version without the file.

    Raises:
        OSError, TypeError, ValueError: a file that is missing, or of something else.
    """
    history = read_history(folder / HISTORY)
    file = folder / TRAINING
    if not file.exists():
        return Run(vae, asked, history, best_epoch(history))
    fields = json.loads(file.read_text(encoding="utf-8"))
    options = FitOptions.model_validate(fields.pop("options"))
    return Run(vae, options, history, **fields)
