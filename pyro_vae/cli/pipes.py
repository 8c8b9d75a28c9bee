"""A reader that goes away, such as `head`: the command does its work to the end, and says so by its
status.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

STATUS = 141
"""What a shell reports for a program that a closed pipe has ended: 128 + SIGPIPE."""


class Outlet:
    """A stream that drops what can't be written because nobody reads it any more.

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
        self.stream, self.is_closed = stream, False

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
            os.dup2(
                nowhere, self.stream.fileno()
            )  # what the interpreter flushes at its end goes there too
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def outlets() -> Iterator[Outlet]:
    """Inside the block nothing fails because stdout or stderr has no reader; gives the outlet of
    stdout.
    """
    with ExitStack() as both:
        nowhere = both.enter_context(
            open(os.devnull, "w")
        )  # for streams that were closed before the start
        both.enter_context(redirect_stderr(Outlet(sys.stderr or nowhere)))
        yield both.enter_context(redirect_stdout(Outlet(sys.stdout or nowhere)))
