"""Check a fitted model, or the installation: one line a question, the worst as exit status."""

import argparse
from typing import Any

from pyro_vae.cli.asked import asked
from pyro_vae.cli.shared import (
    Say,
    path,
    refuse_rows_setting,
    takes_data,
    takes_settings,
)

STATUS = {"pass": 0, "none": 0, "warn": 3, "fail": 4}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        type=path,
        nargs="?",
        help="folder of a fitted model; none checks the installation",
    )
    takes_data(parser)
    parser.add_argument(
        "--rows",
        type=int,
        default=200,
        help="a random subset of the rows (default: 200)",
    )
    parser.add_argument(
        "--audit",
        type=int,
        default=0,
        help="rows whose posterior NUTS draws from, some 40 s each",
    )
    takes_settings(parser)
    parser.epilog = (
        "Exit status: 0 all passed, 3 the model is weak somewhere, 4 its numbers contradict each "
        "other."
    )


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from dataclasses import asdict

    from pyro_vae.analysis import checkup, installation
    from pyro_vae.compiler import products
    from pyro_vae.experiment.description import some_rows
    from pyro_vae.experiment.run_folder import finite
    from pyro_vae.saving import read_run

    if options.run is None:
        if options.data or options.set:
            raise ValueError(
                "check: --data and --set need the folder of a fitted model, got none"
            )
        result = installation()
    else:
        refuse_rows_setting(options)
        found = asked(options)
        chosen = found.experiment.evaluate.model_copy(update={"rows": options.rows})
        result = checkup(
            found.vae,
            some_rows(found.rows, chosen),
            num_particles=chosen.num_particles,
            seed=chosen.seed,
            audit_rows=options.audit,
            progress=None,
        )
        refits = "data" in read_run(options.run)
        result = result.for_run(options.run, data_arguments(options), refits=refits)
        if found.source is not None:
            say(found.about_data())
    say(str(result))
    if options.run is None:
        say(products.described())
    return {
        "findings": [finite(asdict(finding)) for finding in result.findings],
        "sentences": list(result.sentences),
        "status": STATUS[result.worst],
    }


def data_arguments(options: argparse.Namespace) -> list[str]:
    """The arguments that name other rows than the run's own, and say how they are read."""
    if not options.data:
        return []
    words = ["--data", options.data]
    for setting in options.set:
        if setting.startswith("data."):
            words += ["--set", setting]
    return words
