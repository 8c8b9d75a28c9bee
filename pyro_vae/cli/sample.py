"""Draw rows from a fitted model."""

import argparse
from typing import Any

from pyro_vae.cli.shared import (
    TABLES,
    Say,
    check_output,
    takes_a_run,
    write_arrays,
    write_table,
    writes_arrays,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    parser.add_argument(
        "-n", "--num-rows", type=int, default=100, help="rows (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    writes_arrays(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import sample
    from pyro_vae.training import load

    check_output(options, ".npz", ".npy", *TABLES)
    vae = load(options.run)
    if options.output.suffix in TABLES:
        rows = sample(vae, options.num_rows, seed=options.seed)
        frame = rows if vae.spec.table is not None else rows.to_dataframe()
        return write_table(options.output, say, frame)
    drawn = sample(vae, options.num_rows, seed=options.seed, as_array=True)
    return write_arrays(
        options.output, say, {"x": drawn.x, "z": drawn.z, "mean": drawn.mean}
    )
