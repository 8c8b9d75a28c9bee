"""Connections between the processes of one machine, for messages of one byte.

Such a message is a call of the system. One of gloo, which has threads of its own for it, takes
several times as long where every core is at work.
"""

import secrets
import select
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import timedelta

from pyro_vae.distributed.collectives import gathered, in_any, is_interrupted
from pyro_vae.distributed.process_group import TIMEOUT, rank, world_size
from pyro_vae.distributed.watch import wait_for


class Connections:
    """A socket to each other process.

    Arguments:
        sockets: by the number of the other process.
    """

    def __init__(self, sockets: dict[int, socket.socket]) -> None:
        self.sockets = sockets

    def meet(self) -> None:
        """Go on when all processes are here: what they have written before can be read.

        A process ends its writing before it sends, and begins to read after it has received; the
        system keeps this order in memory too.

        Raises:
            KeyboardInterrupt: in all of them, where one was interrupted.
            ProcessLost: another process has ended, or gives no sign of life.
        """
        meeting = _Meeting(self.sockets, is_interrupted())
        try:
            wait_for(meeting)
        except BaseException:
            self.close()  # the others shall not wait for this one
            raise
        if meeting.is_interrupted:
            raise KeyboardInterrupt

    def give(self, file: int) -> None:
        """Let all others open a file that this process has open."""
        for each in self.sockets.values():
            with suppress(OSError):  # whoever has ended is missed later
                socket.send_fds(each, [b"0"], [file])

    def given(self, giver: int) -> int | None:
        """The file that another process has given; None where it can't be open here too."""
        now = socket.MSG_DONTWAIT
        try:
            _, files, _, _ = socket.recv_fds(self.sockets[giver], 1, 1, now)
        except OSError:
            return None
        return files[0] if files else None

    def close(self) -> None:
        """The other processes find these connections closed."""
        for each in self.sockets.values():
            each.close()

    def __del__(self) -> None:
        self.close()


class _Meeting:
    """The answers of the other processes, with the methods of an operation of torch.distributed.

    Arguments:
        sockets: by the number of the other process.
        is_interrupted: what this process says.
    """

    def __init__(self, sockets: dict[int, socket.socket], is_interrupted: bool) -> None:
        self.is_interrupted = is_interrupted
        self.sockets = sockets
        self.deadline = time.monotonic() + TIMEOUT.total_seconds()
        self.failure = ""
        self.missing = {each.fileno(): number for number, each in sockets.items()}
        self.answers = select.poll()
        for number, each in sockets.items():
            try:
                each.send(bytes([is_interrupted]))
                self.answers.register(each, select.POLLIN)
            except (OSError, ValueError):  # ValueError: it is closed here
                self._fail(number)

    def is_completed(self) -> bool:
        """Whether all have answered, or one never will."""
        return not self.missing or bool(self.failure)

    def wait(self, timeout: timedelta = TIMEOUT) -> None:
        """Wait so long for the answers.

        Raises:
            RuntimeError: they are not all here, or one will not come.
        """
        while not self.is_completed():
            ready = self.answers.poll(1000 * timeout.total_seconds())
            for file, _ in ready:
                self._receive(file)
            if time.monotonic() > self.deadline:
                self.failure = f"no answer in {TIMEOUT}"
            if not ready:
                break
        if self.missing:
            raise RuntimeError(self.failure or "not yet")

    def _receive(self, file: int) -> None:
        number = self.missing[file]
        try:
            answer = self.sockets[number].recv(1)
        except OSError:
            answer = b""
        if not answer:
            self._fail(number)
            return
        self.is_interrupted |= bool(answer[0])
        self.answers.unregister(file)  # its next byte belongs to the next meeting
        del self.missing[file]

    def _fail(self, number: int) -> None:
        self.failure = f"process {number} has closed its connection"


def connected() -> Connections | None:
    """Connections to all other processes; None where they are not all on this machine.

    All processes call it. Each listens at a name of Linux that is in no file system, connects to
    those before it, and says a word that only their group knows.
    """
    listener = _listener()
    with listener or nullcontext():
        return _connected(listener)


def _connected(listener: socket.socket | None) -> Connections | None:
    words = gathered((_name(listener), secrets.token_bytes(16)))
    connections = Connections({} if listener is None else _to_those_before(words))
    if in_any(listener is None or len(connections.sockets) < rank()):
        return None
    assert listener is not None
    connections.sockets |= _from_those_after(listener, words)
    if in_any(len(connections.sockets) < world_size() - 1):
        return None
    for each in connections.sockets.values():
        each.setblocking(True)
    return connections


def _listener() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    try:
        listener.bind(f"\0pyro_vae {secrets.token_hex(16)}")
        listener.listen(world_size())
    except OSError:
        listener.close()
        return None
    return listener


def _name(listener: socket.socket | None) -> bytes:
    return b"" if listener is None else listener.getsockname()


def _to_those_before(words: Sequence[tuple[bytes, bytes]]) -> dict[int, socket.socket]:
    """Connections to the processes before this one: they wait there to be accepted."""
    found: dict[int, socket.socket] = {}
    for number, (name, _) in enumerate(words[: rank()]):
        other = socket.socket(socket.AF_UNIX)
        other.setblocking(False)
        try:
            other.connect(name)
            other.send(words[rank()][1])
        except OSError:  # of another machine, or container
            other.close()
        else:
            found[number] = other
    return found


def _from_those_after(
    listener: socket.socket, words: Sequence[tuple[bytes, bytes]]
) -> dict[int, socket.socket]:
    """Connections that the processes after this one have made, and no one else's."""
    numbers = {word: number for number, (_, word) in enumerate(words)}
    found: dict[int, socket.socket] = {}
    while len(found) < world_size() - 1 - rank():
        try:
            other, _ = listener.accept()
        except BlockingIOError:
            break
        other.setblocking(False)
        try:
            found[numbers[other.recv(16)]] = other
        except (OSError, KeyError):
            other.close()
    return found
