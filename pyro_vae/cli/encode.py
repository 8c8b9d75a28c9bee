"""Mean and standard deviation of q(z | x) for each row."""

import argparse
from dataclasses import replace
from typing import Any

from pyro_vae.cli.asked import asked
from pyro_vae.cli.shared import (
    TABLES,
    Say,
    check_output,
    takes_a_run,
    takes_data,
    takes_settings,
    write_arrays,
    write_table,
    writes_arrays,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    takes_data(parser)
    writes_arrays(parser)
    takes_settings(parser)


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import encode

    check_output(options, ".npz", ".npy", *TABLES)
    found = asked(options)
    codes = encode(found.vae, found.rows)
    if options.output.suffix in TABLES:
        labelled = replace(codes, row_labels=found.row_labels)
        return write_table(options.output, say, labelled.to_dataframe())
    return write_arrays(options.output, say, {"loc": codes.loc, "scale": codes.scale})
