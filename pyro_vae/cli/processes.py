"""The command in several processes, as torchrun starts them: all work, rank 0 prints and writes."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from pyro_vae.distributed.launch import launched, launched_first


@contextmanager
def rank_zero_output() -> Iterator[None]:
    """Drop what other ranks than 0 print inside the block."""
    with ExitStack() as redirected:
        if not launched_first():
            nowhere = redirected.enter_context(open(os.devnull, "w"))
            redirected.enter_context(redirect_stdout(nowhere))
            redirected.enter_context(redirect_stderr(nowhere))
        yield


@contextmanager
def together(shared: bool) -> Iterator[None]:
    """Join the processes into one group inside the block, where they share the work."""
    with ExitStack() as group:
        if shared and launched():  # torch is imported only then
            from pyro_vae.distributed.process_group import joined

            group.enter_context(joined())
        yield


def reports_failure() -> bool:
    """Whether this process failed first; the others fail because of it, and print nothing."""
    if not launched():
        return True
    from pyro_vae.distributed.process_group import first_failure

    return first_failure()


def is_of_another(error: Exception) -> bool:
    """Whether the error is that another process is lost."""
    if not launched():
        return False
    from pyro_vae.distributed.watch import ProcessLost

    return isinstance(error, ProcessLost)


def print_error(message: str) -> None:
    """Print an error, also from another rank than 0."""
    stream = sys.stderr if launched_first() else sys.__stderr__
    print(message, file=stream, flush=True)
