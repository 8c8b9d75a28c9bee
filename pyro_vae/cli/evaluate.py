"""Estimate log p(x) of held-out rows under a fitted model."""

import argparse
from typing import Any

from pyro_vae.cli.shared import (
    Say,
    check_output,
    fitted,
    path,
    takes_a_run,
    takes_data,
    takes_settings,
)
from pyro_vae.cli.trained import about_data
from pyro_vae.distributed.launch import launched_first


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    takes_data(parser)
    parser.add_argument(
        "--output", type=path, help="also write log p(x) of each row to this .csv file"
    )
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis.fitted import require_density
    from pyro_vae.atomic_files import written_whole
    from pyro_vae.experiment.evaluation import evaluate, table
    from pyro_vae.experiment.run_folder import write_evidence

    check_output(options.output, ".csv")
    vae, experiment, rows = fitted(options)
    if options.output is not None:
        require_density(vae)
    metrics, evidence = evaluate(vae, rows, experiment.evaluate)
    seconds = None if evidence is None else evidence.seconds
    results = table(metrics, held_out=options.data is None, seconds=seconds)
    say(f"{about_data(options, vae)}{results}")
    if options.output is not None and evidence is not None and launched_first():
        with written_whole(options.output) as draft:
            write_evidence(draft, evidence)
        say(f"\n{options.output}: log p(x), its standard error and k-hat of each row")
    return {"metrics": metrics}
