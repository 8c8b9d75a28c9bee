"""Each row as the model sees it."""

import argparse
from typing import Any

from pyro_vae.cli.asked import asked
from pyro_vae.cli.encode import arguments as arguments
from pyro_vae.cli.shared import TABLES, Say, check_output, write_arrays, write_table


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import reconstruct
    from pyro_vae.data.frame_output import as_frame

    check_output(options, ".npz", ".npy", *TABLES)
    found = asked(options)
    numbers = reconstruct(found.vae, found.rows, as_array=True)
    if options.output.suffix not in TABLES:
        return write_arrays(options.output, say, {"x": numbers})
    schema = found.vae.spec.table
    if schema is None:
        raise ValueError(
            f"--output: expected a .npz or .npy file for rows without names of columns, got "
            f"{options.output}"
        )
    return write_table(options.output, say, as_frame(schema, numbers, found.row_labels))
