"""The command in several processes, as torchrun starts them: all work, the first one speaks and
writes.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from pyro_vae.distributed.launch import launched, launched_first


@contextmanager
def rank_zero_output() -> Iterator[None]:
    """What this process prints inside the block is dropped, unless it is the first."""
    with ExitStack() as silence:
        if not launched_first():
            nowhere = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        yield


@contextmanager
def together(shared: bool) -> Iterator[None]:
    """Where the work is shared the processes are one group inside the block; torch is imported
    where it has to be.
    """
    with ExitStack() as group:
        if shared and launched():
            from pyro_vae.distributed.process_group import joined

            group.enter_context(joined())
        yield


def tells_why() -> bool:
    """Whether this process says why it fails: it is the first that does, and the others fail
    because of it.
    """
    if not launched():
        return True
    from pyro_vae.distributed.process_group import first_failure

    return first_failure()


def tell(message: str) -> None:
    """Print an error, also where this process is not the one that speaks."""
    print(message, file=sys.stderr if launched_first() else sys.__stderr__, flush=True)
