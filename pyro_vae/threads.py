"""A lock for code that changes state of the whole process for a while.

torch's generators, Pyro's handlers, settings and validation flag belong to the process, and a
module's training mode to the model. Two threads that change them at once get wrong results without
an error.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

FORKED = 0x40
"""The flag of Linux for a process that was forked and has started no other program."""


def _is_forked() -> bool:
    """Whether this process is a fork of another, as far as the system says so."""
    try:
        text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        return False
    # proc(5): pid (name) state ppid pgrp session tty tpgid flags ...
    flags = text.rpartition(")")[2].split()[6]
    return bool(int(flags) & FORKED)


class _ProcessLock:
    """The lock of the process.

    A forked child gets a new one: the thread that has acquired the old one isn't in the child.

    Attributes:
        lock: the lock.
        is_forked: whether this process is such a child, also of a process without this library.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_forked = _is_forked()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()
        self.is_forked = True


_LOCK = _ProcessLock()


@contextmanager
def alone() -> Iterator[None]:
    """A block in which one thread is at a time; the same thread may nest such blocks.

    Example:
        >>> with alone(), alone():
        ...     "two blocks, one thread"
        'two blocks, one thread'
    """
    with _LOCK.lock, _one_thread_of_torch() if _LOCK.is_forked else nullcontext():
        yield


@contextmanager
def _one_thread_of_torch() -> Iterator[None]:
    """Inside the block torch has one thread.

    The threads of OpenMP aren't in a forked child, which would wait for them for ever where the
    parent has used them.
    """
    import torch  # only here: most processes aren't forked

    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
