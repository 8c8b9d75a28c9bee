"""SIGTERM as an exception, which waits for the end of an epoch while a model is trained."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STATUS = 128 + signal.SIGTERM
"""The exit status of a program that SIGTERM has ended."""
PATIENCE = 10.0
"""Seconds in which an epoch may end after the signal; what sends it kills after some 30."""


class Terminated(BaseException):
    """SIGTERM has come; the message goes on with "; " after "ended by SIGTERM"."""


@dataclass
class _Request:
    """Whether SIGTERM has come, and whether it has to wait."""

    waits: bool = False
    since: float | None = None


_request = _Request()


@contextmanager
def raised_on_sigterm() -> Iterator[None]:
    """Inside the block SIGTERM raises `Terminated`, in the thread that gets signals.

    Example:
        >>> import os
        >>> with raised_on_sigterm():
        ...     try:
        ...         os.kill(os.getpid(), signal.SIGTERM)
        ...     except Terminated:
        ...         print("ended")
        ended
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
        _request.since = None


def _note(number: int, frame: FrameType | None) -> None:
    is_second = _request.since is not None
    _request.since = time.monotonic()
    if is_second or not _request.waits:
        raise Terminated


@contextmanager
def deferred() -> Iterator[None]:
    """Inside the block SIGTERM waits until somebody asks for it, or for `stop_if_late`."""
    _request.waits = True
    try:
        yield
    finally:
        _request.waits = False


def is_asked() -> bool:
    """Whether SIGTERM waits."""
    return _request.since is not None


def stop_if_late() -> None:
    """Raise `Terminated` where SIGTERM has waited for 10 seconds."""
    since = _request.since
    if since is not None and time.monotonic() - since > PATIENCE:
        raise Terminated
