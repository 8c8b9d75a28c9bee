"""Output into a pipe whose reader goes away, such as `head`: the command does all of its work."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

STATUS = 141
"""What a shell reports for a program that a closed pipe has ended: 128 + SIGPIPE."""


class Outlet:
    """A stream that drops its output once the reader of the pipe has closed it.

    Example:
        >>> read, write = os.pipe()
        >>> os.close(read)
        >>> outlet = Outlet(os.fdopen(write, "w"))
        >>> print("lost", file=outlet, flush=True)
        >>> outlet.is_closed
        True
        >>> outlet.close()
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.is_closed = False

    def write(self, text: str) -> int:
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except BrokenPipeError:
            self.is_closed = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            # What the interpreter flushes at its end goes there too.
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def outlets() -> Iterator[Outlet]:
    """Inside the block a missing reader of stdout or stderr is no error; yields that of stdout."""
    with ExitStack() as stack:
        # A stream that was closed before the start is None.
        nowhere = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(redirect_stderr(Outlet(sys.stderr or nowhere)))
        yield stack.enter_context(redirect_stdout(Outlet(sys.stdout or nowhere)))
