"""The command `pyro-vae`: its subcommands, its exit status, and its error messages.

A subcommand is a module: its docstring is the help, `arguments(parser)` adds its arguments, and
`run(options, say)` does the work and returns what `--json` prints. Slow imports are inside `run`,
so that `--help` is quick.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from pyro_vae.cli import (
    anomaly,
    check,
    compare,
    eject,
    encode,
    evaluate,
    fit,
    impute,
    inspect,
    kinds,
    reconstruct,
    report,
    sample,
    schema,
)
from pyro_vae.cli.pipes import outlets
from pyro_vae.cli.processes import (
    is_of_another,
    print_error,
    rank_zero_output,
    reports_failure,
    together,
)
from pyro_vae.cli.remedies import as_arguments
from pyro_vae.distributed.launch import launched_first
from pyro_vae.termination import STATUS, Terminated, raised_on_sigterm
from pyro_vae.version import __version__

COMMANDS = (
    inspect,
    fit,
    evaluate,
    compare,
    check,
    report,
    anomaly,
    impute,
    sample,
    encode,
    reconstruct,
    eject,
    kinds,
    schema,
)
SHARED = (fit.run, evaluate.run)
"""The subcommands that several processes share; the others are run by the first process alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    The status is 0 for success, 2 for bad input, 130 for an interrupt, 143 for SIGTERM, 1 for
    another failure; a check returns that of its worst finding. If the reader of a pipe goes away,
    or stdout can't be written, all work is done and every file written, and the status is 141, or
    1.
    """
    with rank_zero_output(), raised_on_sigterm(), outlets() as outlet:
        try:
            status = _main(arguments)
        except Terminated as stop:
            status = _fail_by_signal(stop)
        outlet.flush()
        if outlet.error is not None:
            print_error(f"pyro-vae: stdout: {outlet.error.strerror}")
    if status == 0:
        return outlet.status
    return status


def _main(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    if not launched_first() and options.run_command not in SHARED:
        return 0
    with together(options.run_command in SHARED):
        try:
            return _run(options)
        except Terminated as stop:
            return _fail_by_signal(stop)
        except Exception as error:
            if options.debug:
                raise
            if is_of_another(error):
                return _fail(as_arguments(str(error)), 1)
            return _fail(f"{_of_unknown(error)}; --debug shows where it is from", 1)


def _of_unknown(error: Exception) -> str:
    """What is known of an error that nobody has foreseen, in one line."""
    if "allocate memory" in str(error) or "out of memory" in str(error):  # torch's
        return "not enough memory for so large a model; take a smaller one, or fewer rows at once"
    text = shorten(str(error), 300)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _run(options: argparse.Namespace) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            say = _no_text if options.json else _print
            result: dict[str, Any] = options.run_command(options, say)
        if options.json:
            from pyro_vae.experiment.run_folder import finite

            print(json.dumps(finite(result), indent=2), flush=True)
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted{stop}", 130)
    except ValueError as error:
        if options.debug:
            raise
        return _fail(as_arguments(str(error)), 2)
    except MemoryError as error:
        return _fail(f"not enough memory: {_of_unknown(error)}", 1)
    except OSError as error:
        return _fail(
            f"{error.filename or 'input/output'}: {error.strerror or error}", 1
        )
    if result.get("interrupted"):
        return 130
    return int(result.get("status", 0))


def _print(text: str) -> None:
    print(text, flush=True)


def _no_text(text: str) -> None:
    """With `--json` nothing else is printed."""


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"pyro-vae: {as_arguments(str(message))}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="pyro-vae", description="Variational autoencoders as Pyro programs."
    )
    whole.add_argument("--version", action="version", version=f"pyro-vae {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        text = command.__doc__
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--json", action="store_true", help="print one JSON object instead of text"
        )
        added.add_argument(
            "--debug", action="store_true", help="show the traceback of an error"
        )
        command.arguments(added)
        added.set_defaults(run_command=command.run)
    return whole


def _fail_by_signal(stop: Terminated) -> int:
    return _fail(f"ended by SIGTERM{as_arguments(str(stop))}", STATUS)


def _fail(message: str, status: int) -> int:
    if reports_failure():
        from pyro_vae.explain import cut

        print_error(f"pyro-vae: {cut(message)}")
    return status
