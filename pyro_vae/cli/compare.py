"""Compare fitted models by log p(x) of the same held-out rows, paired."""

import argparse
from pathlib import Path
from typing import Any

from pyro_vae.cli.shared import Say, fitted, path, takes_data, takes_settings
from pyro_vae.cli.trained import words


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=path, nargs="+", metavar="run", help="folders of fitted models"
    )
    takes_data(parser)
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    import numpy as np

    from pyro_vae.analysis.report.comparison import compare
    from pyro_vae.experiment.description import some_rows

    asked = [fitted(argparse.Namespace(**{**vars(options), "run": run})) for run in options.runs]
    rows = [some_rows(held, experiment.evaluate) for _, experiment, held in asked]
    for folder, others in zip(options.runs, rows, strict=True):
        if rows[0].shape != others.shape or not np.array_equal(rows[0], others):
            raise ValueError(
                f"{folder}: expected the test rows of {options.runs[0]}, got others; pass --data "
                "with rows that no model was fitted to"
            )
    models = {str(folder): vae for folder, (vae, _, _) in zip(options.runs, asked, strict=True)}
    first = asked[0][1].evaluate
    found = compare(
        models, rows[0], num_particles=first.num_particles, seed=first.seed, progress=None
    )
    for folder, vae in models.items():
        if about := words(argparse.Namespace(**{**vars(options), "run": Path(folder)}), vae):
            say(f"{folder}: {about.strip()}")
    say(str(found))
    columns = (
        found.names,
        found.mean,
        found.mean_se,
        found.difference,
        found.difference_se,
        found.unreliable,
    )
    names = ("run", "log_marginal", "log_marginal_se", "difference", "difference_se", "unreliable")
    return {"models": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]}
