"""The claim of a run on its folder: of two runs into one folder, the second is refused."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pyro_vae.atomic_files import remove_drafts
from pyro_vae.experiment.run_files import require_writable
from pyro_vae.saving import require_free

LOCK = "run.lock"
"""The file of a claim, in the folder."""
SETTLED = 10.0
"""Seconds after which a claim without a text is that of a process that was killed before it."""


@dataclass(frozen=True)
class Owner:
    """The process that writes to a folder.

    Attributes:
        pid: its number.
        host: the machine.
        namespace: that of process numbers on Linux: each container has its own.
        started: when it was started, in clock ticks since the machine was: numbers are used again,
            but not within a tick. None where that isn't known.
        since: the time of the claim.
    """

    pid: int
    host: str
    namespace: str | None
    started: int | None
    since: str

    def has_ended(self) -> bool:
        """Whether the process surely doesn't run any more; of another machine that isn't known."""
        if (self.host, self.namespace) != (socket.gethostname(), _namespace()):
            return False
        started = _started(self.pid)
        if started is None or self.started is None:
            return not _runs(self.pid)
        return started != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def claimed(folder: Path) -> Iterator[str]:
    """Claim a folder for this process; the claim ends with the block, also by an error.

    The claim is the file `run.lock` in the folder, made by one system call that fails where the
    file exists. A claim that a killed process has left on this machine is taken over, and the
    drafts that it has left are removed.

    Arguments:
        folder: made here where it doesn't exist, as are those above it; they are removed where
            nothing came to be in them.

    Returns:
        A context manager that gives a sentence on the claim that was taken over, or "".

    Raises:
        ValueError: another run writes to the folder, or nobody can.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "run"
        >>> with claimed(folder):
        ...     with claimed(folder):
        ...         pass
        Traceback (most recent call last):
        ValueError: ...run: another run writes to it (process ...
        >>> with claimed(folder) as note:
        ...     note
        ''
    """
    require_free(folder, overwrite=True)
    require_writable(folder)
    path = folder / LOCK
    missing = [above for above in folder.absolute().parents if not above.exists()]
    mine = _this_process()
    try:
        note = _take(path, mine, folder)
        remove_drafts(folder)
        try:
            yield note
        finally:
            if _text(path) == mine:
                path.unlink()
    finally:
        _remove_empty([folder, *missing])


def _take(path: Path, mine: str, folder: Path) -> str:
    """Make the file of a claim; a sentence where it was taken over from an owner that has ended."""
    note = ""
    while not _created(path, mine):
        text = _text(path)
        if text is None:  # released a moment ago
            continue
        owner = _owner(text)
        has_ended = _was_left(path, text) if owner is None else owner.has_ended()
        if not has_ended or not _removed(path, text):
            raise ValueError(
                f"{folder}: another run writes to it ({owner or 'it has just started'}); choose "
                f"another folder, or wait for its end; if it was killed, delete {path}"
            )
        who = owner or "a process that was just starting"
        note = f"{folder}: the run of {who} was killed; its claim is taken over\n"
    return note


def _created(path: Path, text: str) -> bool:
    """Whether the file could be made; False where it exists."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileExistsError, FileNotFoundError):
        return False  # taken, or another run has just removed the empty folder
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    return True


def _was_left(path: Path, text: str) -> bool:
    """Whether a claim without a text is so old that its process must have been killed."""
    try:
        return not text and time.time() - path.stat().st_mtime > SETTLED
    except FileNotFoundError:
        return True


def _removed(path: Path, text: str) -> bool:
    """Remove the claim with that text; False where another process is about to do so.

    Between reading and removing a claim, another process could have removed it and made its own.
    So a process locks the file that it is going to remove, which the kernel unlocks if that process
    is killed, and looks again whether it is still the file of that name.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        with path.open(encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_still_there = os.path.samestat(os.fstat(stream.fileno()), path.stat())
            if is_still_there and stream.read() == text:
                path.unlink()
    except FileNotFoundError:
        return True
    except OSError:  # locked, or a disk that knows no locks
        return False
    return True


def _text(path: Path) -> str | None:
    """The text of a file; None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _owner(text: str) -> Owner | None:
    """The owner that a claim names; None while its text isn't written."""
    try:
        return Owner(**json.loads(text))
    except (TypeError, ValueError):
        return None


def _this_process() -> str:
    pid = os.getpid()
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    owner = Owner(pid, socket.gethostname(), _namespace(), _started(pid), since)
    return json.dumps(asdict(owner))


def _namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        return None


def _started(pid: int) -> int | None:
    """The start of a process in clock ticks since boot; None where there is nothing to read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # proc(5): pid (name) state ... starttime; the name may hold spaces and parentheses
    fields = text.rpartition(")")[2].split()
    has_ended = fields[0] in "ZX"  # and its parent hasn't asked how
    return 0 if has_ended else int(fields[19])


def _runs(pid: int) -> bool:
    """Whether a process of that number runs."""
    if os.name == "nt":  # where os.kill ends processes, whatever the signal
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_empty(folders: list[Path]) -> None:
    """Remove the folders in which there is nothing, the innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
