"""A lock for code that changes state of the whole process for a while.

torch's generators, Pyro's handlers, settings and validation flag belong to the process, and a
module's training mode to the model. Two threads that change them at once get wrong results without
an error.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _ProcessLock:
    """The lock of the process.

    A forked child gets a new one: the thread that has acquired the old one isn't in the child.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_LOCK = _ProcessLock()


@contextmanager
def alone() -> Iterator[None]:
    """A block in which one thread is at a time; the same thread may nest such blocks.

    Example:
        >>> with alone(), alone():
        ...     "two blocks, one thread"
        'two blocks, one thread'
    """
    with _LOCK.lock:
        yield
