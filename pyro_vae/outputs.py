"""The files of a run: metrics, history, draws and pictures, each written whole."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.analysis import encode, reconstruct, sample, to_arviz
from pyro_vae.analysis.bridge import write_netcdf
from pyro_vae.analysis.fitted import has_density
from pyro_vae.analysis.images import guess_image_shape, image_grid, reconstructions
from pyro_vae.analysis.importance import Evidence
from pyro_vae.analysis.plots import latent_scatter, learning_curve, marginals, save_figure
from pyro_vae.experiment import Metrics
from pyro_vae.held import Held
from pyro_vae.training import Run
from pyro_vae.vae import VAE

SHOWN_ROWS, DRAWS = 20, 200
EXPERIMENT = "experiment.json"
FILES = (
    *(EXPERIMENT, "metrics.json", "evidence.csv", "history.csv", "history.png"),
    *("latent.png", "reconstructions.png", "samples.png", "posterior.nc"),
)
"""What a run may hold beside its model: no evidence and samples of an autoencoder, no pictures of what is no image."""


def files_of(folder: Path) -> list[Path]:
    """The files of `FILES` that a folder holds."""
    return [folder / name for name in FILES if (folder / name).exists()]


def write_json(path: Path, value: Any) -> None:
    """Indented JSON, with not-a-number as null."""
    path.write_text(json.dumps(finite(value), indent=2) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The same value for JSON, which has no number for not-a-number and infinity: they become None.

    Example:
        >>> finite({"se": math.nan, "rows": 1})
        {'se': None, 'rows': 1}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_rows(path: Path, columns: dict[str, Sequence[Any] | np.ndarray]) -> None:
    """A CSV file with one column for each entry."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_evidence(path: Path, found: Evidence) -> None:
    """One line a row: log_marginal, se, elbo, ess, pareto_k."""
    write_rows(path, {name: getattr(found, name) for name in ("log_marginal", "se", "elbo", "ess", "pareto_k")})


def write_run(folder: Path, run: Run, held: Held, metrics: Metrics, found: Evidence | None) -> None:
    """Everything of a run but the model itself and its description."""
    write_json(folder / "metrics.json", metrics)
    write_rows(folder / "history.csv", {name: [row[name] for row in run.history] for name in run.history[0]})
    save_figure(learning_curve(run.history, best_epoch=run.best_epoch), folder / "history.png")
    if found is not None:
        write_evidence(folder / "evidence.csv", found)
    draw_pictures(folder, run.vae, held)
    tree = to_arviz(run.vae, held.test[:SHOWN_ROWS], draws=_affordable_draws(run.vae), columns=held.splits.columns)
    write_netcdf(tree, folder / "posterior.nc")


def _affordable_draws(vae: VAE) -> int:
    """Draws for `posterior.nc`: fewer where a row is large, so that the file stays near 30 MB."""
    numbers = SHOWN_ROWS * int(np.prod(vae.spec.data_shape))
    return int(np.clip(4_000_000 / numbers, 1, DRAWS))


def draw_pictures(folder: Path, vae: VAE, held: Held) -> None:
    """Reconstructions, latent space, and samples where the prior can be drawn from."""
    rows = held.test[:2000]
    codes = encode(vae, rows).loc
    labels = None if held.labels is None else held.labels[: len(rows)]
    save_figure(latent_scatter(codes, labels=labels), folder / "latent.png")
    shape = None if held.splits.columns else guess_image_shape(vae.spec.data_shape)
    if shape is not None:
        chosen = rows[np.linspace(0, len(rows) - 1, min(10, len(rows))).astype(int)]
        figure = reconstructions(chosen, reconstruct(vae, chosen), image_shape=shape)
        save_figure(figure, folder / "reconstructions.png")
    if not has_density(vae):
        return
    if shape is not None:
        drawn = sample(vae, 50).mean
        figure = image_grid(drawn, image_shape=shape, title="E[x | z] for z from the prior")
    else:
        figure = marginals(
            rows.reshape(len(rows), -1), sample(vae, 2000).x.reshape(2000, -1), columns=held.splits.columns
        )
    save_figure(figure, folder / "samples.png")
