"""What a run will write, before its first step: whether the disk has room for it."""

import math
import shutil
from pathlib import Path

from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.run_folder import SHOWN_ROWS, affordable_draws
from pyro_vae.experiment.splits import ExperimentRows
from pyro_vae.training.options import EPOCHS
from pyro_vae.vae import VAE

MOMENTS = 2
"""Numbers that Adam keeps for each weight."""
PICTURES = 1_000_000
BYTES_PER_EPOCH, BYTES_PER_EVALUATED_ROW, BYTES_PER_ROW = 300, 400, 8
MEGABYTE = 1_000_000


def require_room(
    folder: Path, vae: VAE, experiment: Experiment, rows: ExperimentRows
) -> None:
    """Raise ValueError where the disk of a folder has no room for the files of a run.

    The checkpoint is counted twice, because a new one is written beside the former one.
    """
    checkpoint = 2 * checkpoint_size(vae, experiment)
    model = model_size(vae)
    others = others_size(vae, experiment, rows)
    needed = checkpoint + model + others
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"{folder}: the files of this run need {_megabytes(needed)} (checkpoint "
            f"{_megabytes(checkpoint)}, model {_megabytes(model)}, others {_megabytes(others)}), "
            f"and the disk has {_megabytes(free)} left; make room, or choose another folder"
        )


def model_size(vae: VAE) -> int:
    """Bytes of the weights and of what goes with them."""
    return sum(tensor.nbytes for tensor in vae.state_dict().values())


def checkpoint_size(vae: VAE, experiment: Experiment) -> int:
    """Bytes of the current weights, the best ones, the averages, and those of the optimizer."""
    copies = 2 + MOMENTS + (experiment.fit.ema_decay is not None)
    return copies * model_size(vae)


def others_size(vae: VAE, experiment: Experiment, rows: ExperimentRows) -> int:
    """Bytes of hashes, tables, pictures and draws."""
    count = len(rows.train) + len(rows.test)
    row = math.prod(vae.spec.data_shape) + vae.spec.latent_dim
    draws = 8 * SHOWN_ROWS * affordable_draws(vae) * 2 * row
    tables = (experiment.fit.epochs or EPOCHS) * BYTES_PER_EPOCH
    tables += len(rows.test) * BYTES_PER_EVALUATED_ROW
    return count * BYTES_PER_ROW + tables + PICTURES + draws


def _megabytes(count: int) -> str:
    """A number of bytes in megabytes.

    Example:
        >>> _megabytes(1_234_567), _megabytes(1_000)
        ('1.2 MB', '0.0 MB')
    """
    return f"{count / MEGABYTE:.1f} MB"
