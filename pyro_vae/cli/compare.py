"""Compare fitted models by log p(x) of the same held-out rows, paired."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import Say, fitted, path, takes_data, takes_settings
from pyro_vae.cli.trained import about_data

if TYPE_CHECKING:
    from pyro_vae.analysis.report.comparison import Comparison


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=path, nargs="+", metavar="run", help="folders of fitted models"
    )
    takes_data(parser)
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    import numpy as np

    from pyro_vae.analysis.report.comparison import compare
    from pyro_vae.data import SparseArray
    from pyro_vae.experiment.description import EvaluateOptions, some_rows
    from pyro_vae.vae import VAE

    models: dict[str, VAE] = {}
    rows: list[np.ndarray | SparseArray] = []
    evaluations: list[EvaluateOptions] = []
    for folder in options.runs:
        vae, experiment, test = fitted(_of_run(options, folder))
        models[str(folder)] = vae
        evaluations.append(experiment.evaluate)
        rows.append(some_rows(test, experiment.evaluate))
    for folder, others in zip(options.runs, rows, strict=True):
        if not np.array_equal(rows[0], others):
            raise ValueError(
                f"{folder}: expected the test rows of {options.runs[0]}, got others; pass --data "
                "with rows that no model was fitted to"
            )
    first = evaluations[0]
    result = compare(
        models,
        rows[0],
        num_particles=first.num_particles,
        seed=first.seed,
        progress=None,
    )
    for name, vae in models.items():
        sentence = about_data(_of_run(options, Path(name)), vae)
        if sentence:
            say(f"{name}: {sentence.strip()}")
    say(str(result))
    return {"models": _table(result)}


def _of_run(options: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The same options for one of the runs."""
    return argparse.Namespace(**{**vars(options), "run": folder})


def _table(result: "Comparison") -> list[dict[str, Any]]:
    """One entry for each model."""
    columns = {
        "run": result.names,
        "log_marginal": result.mean,
        "log_marginal_se": result.mean_se,
        "difference": result.difference,
        "difference_se": result.difference_se,
        "unreliable": result.unreliable,
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
