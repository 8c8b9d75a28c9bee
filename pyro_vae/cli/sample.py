"""Draw rows from a fitted model."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyro_vae.cli.shared import (
    TABLES,
    Say,
    check_output,
    takes_a_run,
    write_arrays,
    write_table,
    writes_arrays,
)

if TYPE_CHECKING:
    from pyro_vae.data.columns import Column
    from pyro_vae.vae import VAE


def arguments(parser: argparse.ArgumentParser) -> None:
    takes_a_run(parser)
    parser.add_argument(
        "-n", "--num-rows", type=int, default=100, help="rows (default: 100)"
    )
    parser.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what is given with the rows, for a model with a context; once for each column",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    writes_arrays(parser)


def context_of(vae: "VAE", settings: list[str]) -> dict[str, Any] | None:
    """The context of all rows by the names of its columns; None where nothing is given.

    Raises:
        ValueError: no name, or text for a number or a time.
    """
    given = vae.spec.context
    columns = () if given is None or given.table is None else given.table.modelled
    known = {column.name: column for column in columns}
    context: dict[str, Any] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise ValueError(
                f"--context: expected NAME=VALUE, got {setting!r}; write batch=a, for example"
            )
        context[name] = _cell(known[name], text) if name in known else text
    return context or None


def _cell(column: "Column", text: str) -> Any:
    """The value of a column of the context that a text stands for."""
    if column.levels is not None:
        return next((one for one in column.levels if str(one) == text), text)
    read, expected = _reader(column)
    try:
        return read(text)
    except ValueError:
        raise ValueError(
            f"--context: column {column.name!r}: expected {expected}, got {text!r}"
        ) from None


def _reader(column: "Column") -> tuple[Callable[[str], Any], str]:
    """What reads the texts of a column without levels, and what they should be."""
    import pandas as pd

    if column.unit is None:
        return float, "a number"
    if column.origin is None:
        return pd.Timedelta, "a duration, such as '2 days'"
    return pd.Timestamp, "a time, such as '2020-01-31'"


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from pyro_vae.analysis import sample
    from pyro_vae.training import load

    check_output(options, ".npz", ".npy", *TABLES)
    vae = load(options.run)
    context = context_of(vae, options.context)
    if options.output.suffix in TABLES:
        rows = sample(vae, options.num_rows, seed=options.seed, context=context)
        frame = rows if vae.spec.table is not None else rows.to_dataframe()
        return write_table(options.output, say, frame)
    drawn = sample(
        vae, options.num_rows, seed=options.seed, context=context, as_array=True
    )
    return write_arrays(
        options.output, say, {"x": drawn.x, "z": drawn.z, "mean": drawn.mean}
    )
