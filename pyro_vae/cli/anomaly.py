"""Rank rows by log p(x), with p-values and the columns that make each row unlikely."""

import argparse
from dataclasses import replace
from typing import Any

from pyro_vae.cli.asked import Asked, asked
from pyro_vae.cli.shared import Say, check_output, path, takes_a_run, takes_settings


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
        "--output", type=path, help="also write a line for each row to this .csv file"
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
    from pyro_vae.analysis.results.answer import row_name
    from pyro_vae.atomic_files import written_whole

    check_output(options, ".csv")
    if options.top < 1:
        raise ValueError(f"--top: expected at least 1, got {options.top}")
    found = asked(options)
    reference = _reference(options)
    how = found.experiment.evaluate
    scored = anomaly(
        found.vae,
        found.rows,
        reference=reference.rows,
        columns=found.columns,
        num_particles=how.num_particles,
        seed=how.seed,
        progress=None,
    )
    result = replace(scored, row_labels=found.row_labels)
    say(f"{_about_fitted(found, reference)}{result}")
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
        "worst_labels": [row_name(found.row_labels, row) for row in result.worst()],
    }


def _about_fitted(found: Asked, reference: Asked) -> str:
    """What it means that the model was fitted to some of the rows: log p(x) of those is higher."""
    text = found.about_data()
    if found.fitted_count:
        text += "the p-values of these are too large: the model knows them\n"
    text += reference.about_data()
    if reference.fitted_count:
        text += (
            "all p-values are too small: compare with rows that are new to the model\n"
        )
    return text


def _reference(options: argparse.Namespace) -> Asked:
    """The rows of --reference, or the test rows of the run."""
    settings = [setting for setting in options.set if setting.startswith("evaluate.")]
    own = argparse.Namespace(run=options.run, data=options.reference, set=settings)
    return asked(own)
