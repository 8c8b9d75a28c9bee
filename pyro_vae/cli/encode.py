"""Mean and standard deviation of q(z | x) for each row."""

import argparse
from typing import Any

from pyro_vae.cli.asked import fitted
from pyro_vae.cli.shared import (
    Say,
    check_output,
    takes_a_run,
    takes_data,
    takes_settings,
    write_arrays,
    writes_arrays,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    takes_data(parser)
    writes_arrays(parser)
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import encode

    check_output(options, ".npz", ".npy")
    vae, _, rows = fitted(options)
    codes = encode(vae, rows)
    return write_arrays(options.output, say, {"loc": codes.loc, "scale": codes.scale})
