"""Output that can't be printed costs nothing: the command does all of its work.

A pipe may lose its reader (`head`), a disk may be full, and an encoding may lack a character.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

STATUS = 141
"""What a shell reports for a program that a closed pipe has ended: 128 + SIGPIPE."""


class Outlet:
    """A stream that drops its output once it can't take any.

    Characters that its encoding lacks are written as Python escapes, as on stderr.

    Attributes:
        is_closed: whether the reader of the pipe has closed it.
        error: of another kind, such as a full disk.

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
        self.error: OSError | None = None

    @property
    def status(self) -> int:
        """The exit status of a program that has done all but its output: 0 with all of that."""
        if self.is_closed:
            return STATUS
        return 0 if self.error is None else 1

    def write(self, text: str) -> int:
        self._try(lambda: self.stream.write(self._encodable(text)))
        return len(text)

    def _encodable(self, text: str) -> str:
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except BrokenPipeError:
            self.is_closed = True
            self._drop()
        except OSError as error:
            self.error = error
            self._drop()

    def _drop(self) -> None:
        """Lead what is written from now on, also by the interpreter at its end, to nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
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
