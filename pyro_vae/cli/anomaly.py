"""Rank rows by log p(x), with p-values and the columns that make each row unlikely."""

import argparse
from pathlib import Path
from typing import Any

from pyro_vae.cli.shared import Say, check_output, fitted, takes_a_run, takes_settings


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    parser.add_argument(
        "--data",
        required=True,
        help="the rows to be judged: all of this file, or its test rows",
    )
    parser.add_argument(
        "--reference",
        help="ordinary rows that were not fitted to (default: the run's test rows)",
    )
    parser.add_argument(
        "--output", type=Path, help="also write a line for each row to this .csv file"
    )
    parser.add_argument(
        "--top",
        type=int,
        default=3,
        help="columns named for each row in that file (default: 3)",
    )
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import anomaly
    from pyro_vae.atomic_files import written_whole
    from pyro_vae.experiment.splits import read_source

    check_output(options.output, ".csv")
    if options.top < 1:
        raise ValueError(f"--top: expected at least 1, got {options.top}")
    vae, experiment, rows = fitted(options)
    columns = read_source(experiment.data, vae.spec.data_shape).columns
    result = anomaly(
        vae,
        rows,
        reference=_reference(options),
        columns=columns,
        num_particles=experiment.evaluate.num_particles,
        seed=experiment.evaluate.seed,
        progress=None,
    )
    say(str(result))
    table = result.to_dataframe(options.top).iloc[result.worst(len(result))]
    if options.output is not None:
        with written_whole(options.output) as draft:
            table.to_csv(draft)
        content = "log p(x), p-values and columns of each row, the least likely first"
        say(f"\n{options.output}: {content}")
    return {
        "rows": len(result),
        "outliers": result.outliers().tolist(),
        "worst": result.worst().tolist(),
    }


def _reference(options: argparse.Namespace) -> Any:
    """The rows of --reference, or the test rows of the run."""
    settings = [setting for setting in options.set if setting.startswith("evaluate.")]
    asked = argparse.Namespace(run=options.run, data=options.reference, set=settings)
    return fitted(asked)[2]
