"""Print the JSON Schema of a description."""

import argparse
from typing import Any

from pyro_vae.cli.shared import Say


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(json=True)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.experiment.description import Experiment

    return Experiment.model_json_schema()
