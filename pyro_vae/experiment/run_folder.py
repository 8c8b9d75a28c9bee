"""The files of a run: metrics, history, draws and pictures, each written whole."""

import csv
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.analysis import encode, reconstruct, sample, to_arviz
from pyro_vae.analysis.export.arviz_objects import write_netcdf
from pyro_vae.analysis.figures.images import (
    guess_image_shape,
    image_grid,
    reconstructions,
)
from pyro_vae.analysis.figures.plots import (
    latent_scatter,
    learning_curve,
    marginals,
    save_figure,
)
from pyro_vae.analysis.fitted import has_density
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.atomic_files import whole_files
from pyro_vae.experiment.evaluation import Metrics
from pyro_vae.experiment.splits import ExperimentRows
from pyro_vae.training import Run
from pyro_vae.vae import VAE

SHOWN_ROWS = 20
DRAWS = 200
FILES = (
    "metrics.json",
    "evidence.csv",
    "history.csv",
    "history.png",
    "latent.png",
    "reconstructions.png",
    "samples.png",
    "posterior.nc",
)
"""What a folder may hold beside the model.

An autoencoder has no evidence and no samples; rows that aren't images have no reconstructions.
"""


def files_of(folder: Path) -> list[Path]:
    """The files of `FILES` that a folder holds."""
    return [folder / name for name in FILES if (folder / name).exists()]


def require_writable(path: Path) -> None:
    """Raise ValueError where a file or folder of that name can't be made; nothing is left.

    A temporary folder is made in the nearest folder above that exists: on a read-only disk the
    permissions alone would allow it.
    """
    try:
        above = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=above):
            pass
    except OSError as error:
        raise ValueError(
            f"{path}: can't be written: {error.strerror} ({error.filename}); choose another folder"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Indented JSON, with not-a-number as null."""
    path.write_text(json.dumps(finite(value), indent=2) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The same value for JSON, which has no number for not-a-number and infinity: they become None.

    Example:
        >>> finite({"se": math.nan, "rows": [1, math.inf]})
        {'se': None, 'rows': [1, None]}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_rows(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """A CSV file with one column for each entry."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_evidence(path: Path, evidence: Evidence) -> None:
    """One line a row: log_marginal, se, elbo, ess, pareto_k, and where rows differ the method."""
    names = ["log_marginal", "se", "elbo", "ess", "pareto_k"]
    if getattr(evidence, "method", None) is not None:
        names.append("method")
    write_rows(path, {name: getattr(evidence, name) for name in names})


def write_run(
    folder: Path,
    run: Run,
    rows: ExperimentRows,
    metrics: Metrics,
    evidence: Evidence | None,
) -> None:
    """Everything of a run but the model and its description: its numbers, and then its pictures.

    Raises:
        OSError: files can't be written; no half of the numbers or of the pictures is left.
    """
    with whole_files(folder) as draft:
        _write_numbers(draft, run, rows, metrics, evidence)
    with whole_files(folder) as draft:
        _draw_pictures(draft, run, rows)


def _write_numbers(
    folder: Path,
    run: Run,
    rows: ExperimentRows,
    metrics: Metrics,
    evidence: Evidence | None,
) -> None:
    """Metrics, history, evidence and draws."""
    write_json(folder / "metrics.json", metrics)
    history = {name: [row[name] for row in run.history] for name in run.history[0]}
    write_rows(folder / "history.csv", history)
    if evidence is not None:
        write_evidence(folder / "evidence.csv", evidence)
    tree = to_arviz(
        run.vae,
        rows.test[:SHOWN_ROWS],
        num_samples=_affordable_draws(run.vae),
        columns=rows.splits.columns,
    )
    write_netcdf(tree, folder / "posterior.nc")


def _affordable_draws(vae: VAE) -> int:
    """Draws for `posterior.nc`: fewer where a row is large, so that the file stays near 30 MB."""
    numbers = SHOWN_ROWS * int(np.prod(vae.spec.data_shape))
    return int(np.clip(4_000_000 / numbers, 1, DRAWS))


def _draw_pictures(folder: Path, run: Run, rows: ExperimentRows) -> None:
    """The pictures of a run; one that can't be drawn is named in a warning.

    Raises:
        OSError: a picture can't be written.
    """
    for name, draw in _pictures(run, rows):
        try:
            save_figure(draw(), folder / name)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # a font, a name or an unusual model may break a plot
            warnings.warn(
                f"{name} is not drawn: {type(error).__name__}: {error}", stacklevel=2
            )


def _pictures(
    run: Run, rows: ExperimentRows
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Learning curve, latent space, and reconstructions and samples where there are any."""
    vae = run.vae
    test = np.asarray(rows.test[:2000])
    columns = rows.splits.columns
    shape = None if columns else guess_image_shape(vae.spec.data_shape)
    labels = None if rows.labels is None else rows.labels[: len(test)]
    yield "history.png", lambda: learning_curve(run.history, best_epoch=run.best_epoch)
    yield "latent.png", lambda: latent_scatter(encode(vae, test).loc, labels=labels)
    if shape is not None:
        yield "reconstructions.png", lambda: _reconstructed(vae, test, shape)
    if has_density(vae):
        yield "samples.png", lambda: _samples(vae, test, shape, columns)


def _reconstructed(vae: VAE, rows: np.ndarray, shape: tuple[int, ...]) -> Figure:
    index = np.linspace(0, len(rows) - 1, min(10, len(rows))).astype(int)
    chosen = rows[index]
    return reconstructions(chosen, reconstruct(vae, chosen), image_shape=shape)


def _samples(
    vae: VAE,
    rows: np.ndarray,
    shape: tuple[int, ...] | None,
    columns: tuple[str, ...] | None,
) -> Figure:
    if shape is None:
        drawn = sample(vae, 2000).x.reshape(2000, -1)
        return marginals(rows.reshape(len(rows), -1), drawn, columns=columns)
    limits = (float(rows.min()), float(rows.max()))
    title = "E[x | z] for z from the prior, in the range of the data"
    return image_grid(
        sample(vae, 50).mean, image_shape=shape, title=title, limits=limits
    )
