"""One thread at a time where state of the whole process is switched for a while.

torch's generators, Pyro's handlers, settings and validation switch, and a module's training mode
belong to the process or to the model, not to a thread: two threads that switch them disturb each
other in silence.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Turn:
    """The lock of the process. A forked child gets a new one: the thread that holds the old one
    isn't in the child.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_TURN = _Turn()


@contextmanager
def alone() -> Iterator[None]:
    """Inside the block no other thread is inside such a block; one thread may nest them.

    Example:
        >>> with alone(), alone():
        ...     "two blocks, one thread"
        'two blocks, one thread'
    """
    with _TURN.lock:
        yield
