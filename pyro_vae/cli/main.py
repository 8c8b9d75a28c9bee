"""The command itself: its subcommands, its exit status, and what it says when something is wrong.

A subcommand is a module: its docstring is the help, `arguments(parser)` adds what it takes, and
`run(options, say)` does it and returns what `--json` prints. What is heavy is imported inside
`run`, so that `--help` is quick.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from pyro_vae.cli import (
    anomaly,
    check,
    compare,
    encode,
    evaluate,
    fit,
    kinds,
    reconstruct,
    sample,
    schema,
)
from pyro_vae.cli.pipes import STATUS, outlets
from pyro_vae.cli.processes import rank_zero_output, tell, tells_why, together
from pyro_vae.cli.shared import Say
from pyro_vae.distributed.launch import launched_first
from pyro_vae.version import __version__

COMMANDS = (fit, evaluate, compare, check, anomaly, sample, encode, reconstruct, kinds, schema)
ARGUMENTS = {
    "leave resume out": "leave --resume out",
    "overwrite=True": "--overwrite",
    "pass array=": "pass --set data.array=",
    "resume=True": "--resume",
    "set data_shape=": "pass --set data_shape=",
}
"""Arguments of the library in its errors, and what they are on the command line."""

SHARED = (fit.run, evaluate.run)
"""What several processes do together; of the other subcommands the first process does all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad input, 1 another failure, 130
    interrupted.

    A check returns the status of its worst finding. Where nobody reads what is printed, all work is
    done and every file written, and the status is 141.
    """
    with rank_zero_output(), outlets() as outlet:
        status = _main(arguments)
        outlet.flush()
    return STATUS if outlet.is_closed and not status else status


def _main(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    if not launched_first() and options.run_command not in SHARED:
        return 0
    with together(options.run_command in SHARED):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    say: Say = (lambda text: None) if options.json else (lambda text: print(text, flush=True))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *_: print(
                f"pyro-vae: {message}", file=sys.stderr
            )
            result: dict[str, Any] = options.run_command(options, say)
        if options.json:
            from pyro_vae.experiment.run_folder import finite

            print(json.dumps(finite(result), indent=2), flush=True)
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted{stop}", 130)
    except ValueError as error:
        return _fail(_sentence(error), 2)
    except RuntimeError:
        if tells_why():
            raise
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)
    return 130 if result.get("interrupted") else int(result.get("status", 0))


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="pyro-vae", description="Variational autoencoders as Pyro programs."
    )
    whole.add_argument("--version", action="version", version=f"pyro-vae {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        added = commands.add_parser(
            command.__name__.rpartition(".")[2], help=command.__doc__, description=command.__doc__
        )
        added.add_argument(
            "--json", action="store_true", help="print one JSON object instead of text"
        )
        command.arguments(added)
        added.set_defaults(run_command=command.run)
    return whole


def _fail(message: str, status: int) -> int:
    if tells_why():
        tell(f"pyro-vae: {message}")
    return status


def _sentence(error: ValueError) -> str:
    """What is wrong, in the words of the command line."""
    sentence = str(error)
    for python, command in ARGUMENTS.items():
        sentence = sentence.replace(python, command)
    return sentence
