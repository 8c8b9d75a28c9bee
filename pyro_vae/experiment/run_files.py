"""The names of a run's files, and whether they can be written."""

import os
import tempfile
from pathlib import Path

MANIFEST = "manifest.json"
"""The SHA-256 of each file; a run that has it is complete."""
HISTORY = "history.csv"
"""A line for each epoch."""
TRAINING = "training.json"
"""All else of the training but the weights."""
FILES = (
    "rows.npz",
    "metrics.json",
    "evidence.csv",
    HISTORY,
    TRAINING,
    "history.png",
    "latent.png",
    "reconstructions.png",
    "samples.png",
    "posterior.nc",
    "report.html",  # of `pyro-vae report`
    MANIFEST,
)
"""What a folder may hold beside the model.

An autoencoder has no evidence and no samples; rows that aren't images have no reconstructions.
"""


def files_of(folder: Path) -> list[Path]:
    """The files of `FILES` that a folder holds.

    Raises:
        ValueError: a folder has one of these names.
    """
    files = [folder / name for name in FILES if (folder / name).exists()]
    for file in files:
        if file.is_dir():
            raise ValueError(
                f"{file}: expected a file or nothing, got a folder; choose another folder"
            )
    return files


def require_writable(path: Path) -> None:
    """Raise ValueError where a file or folder of that name can't be made; nothing is left.

    A temporary file is made in the nearest folder above that exists, without a name where that is
    possible: on a read-only disk the permissions alone would allow it. A file that may not be
    written isn't replaced either.
    """
    if path.is_file() and not os.access(path, os.W_OK):
        raise ValueError(
            f"{path}: can't be written: Permission denied; choose another name, or chmod u+w "
            f"{path.name}"
        )
    try:
        above = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(prefix=f".{path.name}-", dir=above):
            pass
    except OSError as error:
        raise ValueError(
            f"{path}: can't be written: {error.strerror} ({error.filename}); choose another folder"
        ) from error
