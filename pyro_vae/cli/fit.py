"""Fit a model, evaluate it on held-out rows, and write model, numbers and pictures."""

import argparse
from typing import Any

from pyro_vae.cli.shared import Say, path, takes_settings, with_source
from pyro_vae.distributed.launch import restarts


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        help="a description (.toml, .json), the folder of a run, or data; by default the digits",
    )
    parser.add_argument("--data", help="the data of a description, or another file")
    parser.add_argument(
        "--output", type=path, help="folder of the run (default: runs/NAME OF THE DATA)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run in that folder"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that has not ended, or start one where there is none",
    )
    takes_settings(parser, "fit.epochs=10")


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.experiment.fields import fields_of
    from pyro_vae.experiment.run import run as run_experiment

    spec = options.source
    if options.data is not None:
        fields = {} if options.source is None else fields_of(options.source)
        spec = with_source(fields, options.data)
    outcome = run_experiment(
        spec,
        options.output,
        settings=options.set,
        overwrite=options.overwrite,
        resume=options.resume or restarts() > 0,
        report=say,
    )
    return {
        "metrics": outcome.metrics,
        "best_epoch": outcome.run.best_epoch,
        "interrupted": outcome.run.interrupted,
        "files": [str(file) for file in outcome.files],
    }
