"""Print a model as one file of torch and Pyro alone, which loads the weights of a run."""

import argparse
from pathlib import Path
from typing import Any

from pyro_vae.cli.shared import Say, takes_settings

METHODS = {"guide": "posterior"}
"""The methods of a program that are named otherwise than the field of the description."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="RUN_OR_SPEC",
        help="folder of a fitted model, or a description",
    )
    parser.add_argument(
        "--latex", action="store_true", help="print the formulas in LaTeX instead"
    )
    takes_settings(parser, "latent_dim=16")


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    vae = _model(options)
    text = vae.latex() if options.latex else vae.program()
    say(text.rstrip("\n"))
    return {"latex" if options.latex else "program": text}


def _model(options: argparse.Namespace) -> Any:
    """The model of a run, or that of a description, for which its data are read."""
    from pyro_vae.experiment.description import make_vae
    from pyro_vae.experiment.fields import experiment_of, run_of
    from pyro_vae.experiment.sources import read_described
    from pyro_vae.saving import load

    folder = run_of(options.source)
    if folder is not None:
        if options.set:
            raise ValueError(
                f"--set: expected none for a fitted model, got {options.set[0]!r}; name a "
                "description instead of a run"
            )
        _require_no_own_parts(folder)
        return load(folder)
    experiment = experiment_of(options.source, options.set)
    rows = read_described(experiment)
    schema = None if rows.table is None else rows.table.schema
    if rows.context is not None:
        experiment = experiment.model_copy(update={"context": rows.context})
    return make_vae(experiment, rows.train, schema)


def _require_no_own_parts(folder: Path) -> None:
    """Raise ValueError where a run has objects of the user's, which a command can't be given."""
    from pyro_vae.saved_files import read_description
    from pyro_vae.spec import Spec

    own = Spec.model_validate(read_description(folder)["model"]).custom()
    if not own:
        return
    passed = ", ".join(f"{slot}=<your {kind}>" for slot, kind in own.items())
    methods = " and ".join(METHODS.get(slot, slot) for slot in own)
    raise ValueError(
        f"{folder}: expected a model of built-in parts, got your own {', '.join(own)}; take "
        f"pv.load({str(folder)!r}, {passed}).program() in Python, or write the program of a "
        f"built-in kind and paste your part into {methods}"
    )
