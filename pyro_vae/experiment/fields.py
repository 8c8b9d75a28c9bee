"""The fields of a description from wherever they are: a file, the folder of a run, or data."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyro_vae.data.files import BUNDLED
from pyro_vae.experiment.description import Experiment
from pyro_vae.experiment.settings import override
from pyro_vae.saved_files import LIBRARY, SPEC, UNFINISHED
from pyro_vae.saving import read_run
from pyro_vae.spec import read

DIGITS: dict[str, Any] = {
    "data": "digits",
    "latent_dim": 32,
    "likelihood": {"kind": "beta_binomial", "total_count": 16},
    "guide": {"kind": "full_rank"},
    "hidden_dims": [512, 512],
    "denoise": 0.3,
    "fit": {
        "epochs": 160,
        "batch_size": 64,
        "lr": 2e-3,
        "ema_decay": 0.998,
        "sleep_share": 0.1,
    },
}
"""The run of `pyro-vae fit` without arguments: 8 x 8 images of digits, counts from 0 to 16."""


def experiment_of(
    source: str | os.PathLike[str] | Mapping[str, Any] | Experiment | None,
    settings: Sequence[str] = (),
) -> Experiment:
    """The experiment that a description, a file, or the folder of a run describes, with changes.

    Example:
        >>> experiment_of("rows.csv", ["fit.epochs=3"]).data.source
        'rows.csv'
    """
    if isinstance(source, Experiment) and not settings:
        return source
    return Experiment.model_validate(override(fields_of(source), settings))


def fields_of(
    source: str | os.PathLike[str] | Mapping[str, Any] | Experiment | None,
) -> dict[str, Any]:
    """The fields of a description: of the bundled digits, of a file, of a run, or of data."""
    if source is None or source == "digits":
        return dict(DIGITS)
    if isinstance(source, Experiment):
        fields = source.model_dump(exclude_unset=True)
        if source.open_kind is not None:
            fields["likelihood"] = source.open_kind
        return fields
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(os.path.expanduser(source))
    folder = run_of(path)
    if folder is not None:
        return described_run(folder)
    if path.suffix not in {".toml", ".json"}:
        return {"data": os.fspath(source)}
    return read(path)


def run_of(source: object) -> Path | None:
    """The folder of the run that a source names, also by its `spec.json`; None of other sources.

    Of a run that hasn't ended it is the folder inside, which has the description.
    """
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(os.path.expanduser(source))
    for folder in (path, path / UNFINISHED):
        if (folder / SPEC).exists():
            return folder
    if path.suffix == ".json" and read(path).get("library") == LIBRARY:
        return path.parent
    return None


def described_run(folder: Path) -> dict[str, Any]:
    """The fields of the description that a run's folder holds.

    Example:
        >>> import tempfile
        >>> from pyro_vae.saving import write_model
        >>> from pyro_vae.vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> folder = write_model(vae, Path(tempfile.mkdtemp()) / "run", run={"data": "rows.csv"})
        >>> described_run(folder)["data"], described_run(folder)["latent_dim"]
        ('rows.csv', 2)
    """
    recorded = read_run(folder)
    fields = {
        name: value
        for name, value in recorded.items()
        if name in Experiment.model_fields
    }
    data = fields.get("data")
    if isinstance(data, Mapping):
        source = nearest_source(data["source"], recorded.get("source_path"))
        fields["data"] = {**data, "source": source}
    return fields


def absolute_source(source: str) -> str | None:
    """The absolute path of a source; None of the bundled rows.

    Example:
        >>> absolute_source("digits") is None
        True
        >>> absolute_source("rows.npy") == os.path.join(os.getcwd(), "rows.npy")
        True
    """
    if source == BUNDLED:
        return None
    return os.path.abspath(os.path.expanduser(source))


def nearest_source(source: str, recorded: str | None) -> str:
    """The path of a run's data: its absolute one where the relative one leads elsewhere now.

    Where the file isn't at its absolute path any more, the relative path stays.
    """
    if recorded is None or recorded == absolute_source(source):
        return source
    return recorded if os.path.exists(recorded) else source
