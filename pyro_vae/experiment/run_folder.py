"""The files of a run: metrics, history, draws and pictures, each written whole."""

import csv
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.analysis import encode, reconstruct, sample, to_arviz
from pyro_vae.analysis.bridge.netcdf import write_netcdf
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
from pyro_vae.arguments import warn_caller
from pyro_vae.data.columns import Schema
from pyro_vae.experiment.description import EvaluateOptions, chosen_rows
from pyro_vae.experiment.evaluation import Metrics, contexts_in, without_contexts
from pyro_vae.experiment.run_files import HISTORY, TRAINING
from pyro_vae.experiment.splits import ExperimentRows
from pyro_vae.experiment.training_files import training_of
from pyro_vae.experiment.writing import Writing
from pyro_vae.training import Run
from pyro_vae.vae import VAE

SHOWN_ROWS = 20
DRAWS = 200


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


def write_evidence(
    path: Path,
    evidence: Evidence,
    rows: np.ndarray,
    *,
    labels: Sequence[Any] | np.ndarray | None = None,
    fitted: np.ndarray | None = None,
) -> None:
    """One line a row: where it is from, log_marginal, se, elbo, ess, pareto_k, and the method.

    Arguments:
        path: the file.
        evidence: log p(x) of each row.
        rows: their numbers in the source, from 0.
        labels: their names, where they have some.
        fitted: whether the model was fitted to rows that equal them, where that is known.
    """
    columns: dict[str, Sequence[Any] | np.ndarray] = {"row": rows}
    if labels is not None:
        columns["label"] = labels
    if fitted is not None:
        columns["fitted"] = fitted.astype(int)
    for name in ("log_marginal", "se", "elbo", "ess", "pareto_k"):
        columns[name] = getattr(evidence, name)
    if getattr(evidence, "method", None) is not None:
        columns["method"] = evidence.method
    write_rows(path, columns)


def write_training(
    writing: Writing, run: Run, write_hashes: Callable[[Path], object]
) -> None:
    """What is known before the evaluation: the training, and the hashes of the rows."""
    history = {name: [row[name] for row in run.history] for name in run.history[0]}
    writing.attempt("rows.npz", write_hashes)
    writing.attempt(HISTORY, lambda path: write_rows(path, history))
    writing.attempt(TRAINING, lambda path: write_json(path, training_of(run)))


def write_numbers(
    writing: Writing,
    rows: ExperimentRows,
    metrics: Metrics,
    evidence: Evidence | None,
    options: EvaluateOptions,
) -> None:
    """Metrics, without which a run has failed, and log p(x) of each row.

    Raises:
        OSError: the metrics can't be written.
    """
    writing.require("metrics.json", lambda path: write_json(path, metrics))
    if evidence is None:
        return
    chosen = chosen_rows(len(rows.test), options)
    numbers = rows.row_numbers[chosen]
    labels = None if rows.row_labels is None else rows.row_labels[chosen]
    writing.attempt(
        "evidence.csv",
        lambda path: write_evidence(path, evidence, numbers, labels=labels),
    )


def write_pictures(writing: Writing, run: Run, rows: ExperimentRows) -> None:
    """Pictures and draws, each on its own."""
    for name, draw in _pictures(run, rows):
        writing.attempt(name, partial(_draw, draw))
    writing.attempt("posterior.nc", lambda path: _write_draws(path, run.vae, rows))


def _draw(draw: Callable[[], Figure], path: Path) -> None:
    """Draw and save a picture, with one warning for all characters that the font lacks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save_figure(draw(), path)
    missing = {
        str(one.message) for one in caught if "missing from font" in str(one.message)
    }
    for one in caught:
        if str(one.message) not in missing:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        warn_caller(
            f"{path.name}: {len(missing)} characters are missing in the font, and drawn as boxes"
        )


def _write_draws(path: Path, vae: VAE, rows: ExperimentRows) -> None:
    tree = to_arviz(
        vae,
        rows.test[:SHOWN_ROWS],
        num_samples=affordable_draws(vae),
        columns=rows.splits.columns,
    )
    write_netcdf(tree, path)


def affordable_draws(vae: VAE) -> int:
    """Draws for `posterior.nc`: fewer where a row is large, so that the file stays near 30 MB."""
    numbers = SHOWN_ROWS * int(np.prod(vae.spec.data_shape))
    return int(np.clip(4_000_000 / numbers, 1, DRAWS))


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
    return reconstructions(
        without_contexts(vae, chosen),
        reconstruct(vae, chosen, as_array=True),
        image_shape=shape,
    )


def _samples(
    vae: VAE,
    rows: np.ndarray,
    shape: tuple[int, ...] | None,
    columns: tuple[str, ...] | None,
) -> Figure:
    if vae.spec.context is not None:  # one draw for each context of the rows
        drawn = sample(vae, len(rows), context=contexts_in(vae, rows), as_array=True).x
        rows = without_contexts(vae, rows)
        shape = None
    elif shape is None:
        drawn = sample(vae, 2000, as_array=True).x.reshape(2000, -1)
    if shape is None:
        return _columns_drawn(
            vae.spec.table, rows.reshape(len(rows), -1), drawn, columns
        )
    limits = (float(rows.min()), float(rows.max()))
    title = "E[x | z] for z from the prior, in the range of the data"
    return image_grid(
        sample(vae, 50, as_array=True).mean,
        image_shape=shape,
        title=title,
        limits=limits,
    )


def _columns_drawn(
    schema: Schema | None,
    rows: np.ndarray,
    drawn: np.ndarray,
    columns: tuple[str, ...] | None,
) -> Figure:
    """Rows and samples by column, in the units of the table and with its levels."""
    if schema is None:
        return marginals(rows, drawn, columns=columns)
    levels = {
        position: column.levels
        for position, column in enumerate(schema.modelled)
        if column.levels is not None
    }
    units = {
        position: column.unit_and_origin
        for position, column in enumerate(schema.modelled)
        if column.unit is not None
    }
    return marginals(
        rows + schema.offsets,
        drawn + schema.offsets,
        columns=columns,
        levels=levels,
        units=units,
    )
