"""Compare fitted models by log p(x) of the same held-out rows, paired."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.asked import Asked, asked
from pyro_vae.cli.shared import Say, path, takes_data, takes_settings

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

    runs: dict[str, Asked] = {}
    for folder in options.runs:
        runs[str(folder)] = asked(_of_run(options, folder)).evaluated()
    first = runs[str(options.runs[0])]
    for folder, other in runs.items():
        if not np.array_equal(first.rows, other.rows, equal_nan=True):
            raise ValueError(
                f"{folder}: expected the test rows of {options.runs[0]}, got others; pass --data "
                "with rows that no model was fitted to"
            )
    how = first.experiment.evaluate
    result = compare(
        {name: run.vae for name, run in runs.items()},
        first.rows,
        num_particles=how.num_particles,
        seed=how.seed,
        progress=None,
    )
    for name, run in runs.items():
        if run.source is not None:
            say(f"{name}: {run.about_data().strip()}")
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
