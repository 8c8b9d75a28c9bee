"""Each row as the model sees it."""

import argparse
from typing import Any

from pyro_vae.cli.asked import fitted
from pyro_vae.cli.encode import arguments as arguments
from pyro_vae.cli.shared import Say, check_output, write_arrays


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import reconstruct

    check_output(options, ".npz", ".npy")
    vae, _, rows = fitted(options)
    return write_arrays(options.output, say, {"x": reconstruct(vae, rows)})
