"""What an experiment ends in, also one that had ended before."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_vae.analysis import Evidence
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.evaluation import Metrics, table
from pyro_vae.experiment.manifest import require_whole
from pyro_vae.experiment.run_files import HISTORY, TRAINING, files_of
from pyro_vae.experiment.training_files import read_training
from pyro_vae.saved_files import SPEC, WEIGHTS
from pyro_vae.saving import load
from pyro_vae.training import Run
from pyro_vae.vae import VAE

Report = Callable[[str], None]


@dataclass(frozen=True, repr=False)
class Outcome:
    """What an experiment ends in.

    Attributes:
        vae: the fitted model.
        run: its training, with the history.
        metrics: means over the held-out rows by name, in nats per row.
        evidence: log p(x) of each held-out row; None for an autoencoder, which has none, and for a
            run that was complete before.
        experiment: the description, complete.
        folder: where everything is written.
        files: what is there.
    """

    vae: VAE
    run: Run
    metrics: Metrics
    evidence: Evidence | None
    experiment: Experiment
    folder: Path
    files: tuple[Path, ...] = field(default=())

    def summary(self) -> str:
        """The metrics as a person reads them."""
        seconds = None if self.evidence is None else self.evidence.seconds
        return table(self.metrics, seconds=seconds)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"Outcome(folder={str(self.folder)!r}, rows={self.metrics['rows']})"


def ended(experiment: Experiment, folder: Path, say: Report) -> Outcome:
    """The outcome of a run that is complete, from its files.

    Raises:
        ValueError: a file that is damaged or missing.
    """
    vae = load(folder)
    require_whole(folder, "metrics.json", HISTORY, TRAINING)
    try:
        text = (folder / "metrics.json").read_text(encoding="utf-8")
        metrics = {name: _number(value) for name, value in json.loads(text).items()}
        run = read_training(folder, vae, experiment.fit)
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}: holds a run that has ended, and its metrics or history can't be read "
            f"({error}); evaluate it again, or fit again (overwrite=True)"
        ) from error
    files = (folder / SPEC, folder / WEIGHTS, *files_of(folder))
    outcome = Outcome(vae, run, metrics, None, experiment, folder, files)
    say(f"{folder}: this run has ended, nothing is left to do\n\n{outcome.summary()}")
    return outcome


def _number(value: Any) -> Any:
    """A value of `metrics.json`, which has null for not-a-number."""
    return math.nan if value is None else value
