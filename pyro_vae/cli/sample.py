"""Draw rows from a fitted model."""

import argparse
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
        ValueError: no name, or text for a number.
    """
    given = vae.spec.context
    columns = () if given is None or given.table is None else given.table.modelled
    levels = {column.name: column.levels for column in columns}
    context: dict[str, Any] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise ValueError(
                f"--context: expected NAME=VALUE, got {setting!r}; write batch=a, for example"
            )
        context[name] = text
        known = levels.get(name)
        if known is not None:
            context[name] = next((one for one in known if str(one) == text), text)
        elif name in levels:
            context[name] = _number(name, text)
    return context or None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"--context: column {name!r}: expected a number, got {text!r}"
        ) from None


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
