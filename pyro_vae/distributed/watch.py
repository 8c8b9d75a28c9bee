"""Whether the other processes still run: each gives a sign of life, and who waits looks for them.

A process that was killed closes its connections, which torch notices at once. One that is stopped
or out of reach keeps them, and whoever waits for it would do so for half an hour in silence.
"""

import atexit
import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from torch.distributed import distributed_c10d

PATIENCE = 45.0
"""Seconds without a sign of life after which a process counts as stopped."""
EVERY = 1.0
"""Seconds between two signs of life, and between two looks for them."""


class ProcessLost(RuntimeError):
    """Another process of the group has ended, or gives no sign of life."""


class SignsOfLife:
    """What this process writes to the store that all share, from a thread, and reads of others.

    Arguments:
        store: torch's key-value store of the group.
        rank: the number of this process.
        count: how many processes there are.
    """

    def __init__(self, store: Any, rank: int, count: int) -> None:
        self.store = store
        self.rank = rank
        self.others = [number for number in range(count) if number != rank]
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._give, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Give no more signs."""
        self.ending.set()
        self.thread.join()

    def _give(self) -> None:
        number = 0
        with suppress(RuntimeError):  # without a store, nobody can look
            while True:
                self.store.set(_key(self.rank), str(number))
                number += 1
                if self.ending.wait(EVERY):
                    return

    def read(self) -> dict[int, bytes]:
        """The last sign of each other process that has given one."""
        found: dict[int, bytes] = {}
        with suppress(RuntimeError):
            for number in self.others:
                if self.store.check([_key(number)]):
                    found[number] = self.store.get(_key(number))
        return found


def _key(rank: int) -> str:
    return f"sign of life {rank}"


class _Watch:
    """The signs of life of this process's group, and how long it waits for them."""

    signs: SignsOfLife | None = None
    patience = PATIENCE


_watch = _Watch()


@contextmanager
def giving_signs(store: Any, rank: int, count: int) -> Iterator[None]:
    """This process gives signs of life inside the block."""
    signs = SignsOfLife(store, rank, count)
    former = _watch.signs
    _watch.signs = signs
    try:
        yield
    finally:
        _watch.signs = former
        signs.end()


def keep_giving_signs(rank: int, count: int) -> None:
    """Give signs of life until the end of this process, in a group that the user has made."""
    store = distributed_c10d._get_default_store()
    signs = _watch.signs
    if signs is None or signs.store is not store:
        _watch.signs = SignsOfLife(store, rank, count)
        atexit.register(_watch.signs.end)


@contextmanager
def patience(seconds: float | None) -> Iterator[None]:
    """How long a process may give no sign of life inside the block; None: as outside.

    Example:
        >>> with patience(10.0):
        ...     _watch.patience
        10.0
    """
    former = _watch.patience
    _watch.patience = former if seconds is None else seconds
    try:
        yield
    finally:
        _watch.patience = former


def wait_for(work: Any) -> None:
    """Wait for an operation on the CPU that all processes take part in.

    Raises:
        ProcessLost: another process has ended, or gives no sign of life.
    """
    silence = _Silence()
    while not work.is_completed():
        with suppress(RuntimeError):  # not yet, or what the last line raises
            work.wait(timedelta(seconds=EVERY))
        if not work.is_completed():
            silence.look()
    with losses_told():
        work.wait()


@contextmanager
def losses_told() -> Iterator[None]:
    """Raise ProcessLost for the error of torch where another process has closed its connections."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition(". ")[0].rpartition("] ")[2]
        raise ProcessLost(
            "another process has ended, and all share the work: its own message, or the report of "
            f"torchrun, says why ({reason}). {_REMEDY}"
        ) from error


_REMEDY = (
    "Start all processes again: a run with a checkpoint goes on after its last epoch (resume=True, "
    "or torchrun --max-restarts 3)"
)


class _Silence:
    """How long the other processes have given no sign while this one waits for them."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[bytes, float]] = {}

    def look(self) -> None:
        """Raise ProcessLost where a process has given no sign for too long."""
        if _watch.signs is None:
            return
        now = time.monotonic()
        for number, sign in _watch.signs.read().items():
            before, since = self.last.get(number, (b"", now))
            if sign != before:
                self.last[number] = (sign, now)
            elif now - since > _watch.patience:
                _leave_running()
                raise ProcessLost(
                    f"process {number} has given no sign of life for {now - since:.0f} s: it is "
                    f"stopped, or its machine is out of reach. End it. {_REMEDY}. To wait longer: "
                    f"timeout={10 * _watch.patience:g}"
                )


def _leave_running() -> None:
    """Keep torch's group from being destroyed, also when Python ends.

    Its destructor waits for an operation in which a stopped process takes part, and aborting one
    waits too (gloo, torch 2.13).
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(distributed_c10d._get_default_group()))
