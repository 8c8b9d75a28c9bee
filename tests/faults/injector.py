"""Faults of the file system: what happens to a command before the n-th change in a folder.

A server without threads imports the library once and forks a process for each command, so that a
kill costs no import. It reads one JSON object a line and answers with one:

    {"arguments": ["fit", ...], "home": "...", "at": 7, "fault": "kill"}  ->  {"status": -9, ...}

What a kill leaves is what lies in the folder at that moment. With the fault "copies" a command goes
through, and the folder is copied before each change: one run instead of one for each kill.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class PowerCut(BaseException):
    """What no command survives, and what this process does."""


@dataclass
class Injector:
    """Counts the changes of the files below a folder, and makes one of them fail."""

    home: str
    at: int | None = None
    fault: str = "kill"
    count: int = 0

    def install(self) -> None:
        sys.addaudithook(self._seen)
        fsync = os.fsync

        def counted(opened: int) -> None:
            self._change()
            fsync(opened)

        os.fsync = counted

    def _seen(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            is_change = bool(set(mode or "") & set("wax+")) or bool(flags & WRITES)
        else:
            path = arguments[0] if arguments else None
            is_change = event in CHANGES
        if is_change and isinstance(path, str | os.PathLike):
            where = os.path.abspath(os.fspath(path))
            if where.startswith(self.home):
                self._change()

    def _change(self) -> None:
        self.count += 1
        if self.fault == "copies":
            shutil.copytree(self.home, copies_of(Path(self.home)) / str(self.count))
        if self.count != self.at:
            return
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.fault == "interrupt":
            raise KeyboardInterrupt
        if self.fault == "full":
            raise OSError(28, "No space left on device")


def copies_of(home: Path) -> Path:
    """Where a folder is copied to before each change, by the number of the change."""
    return home.with_name(f"{home.name}.copies")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (negative for a signal), its output, its changes."""

    status: int
    text: str
    changes: int


class Server:
    """The server, from outside."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __call__(
        self, *arguments: str, home: Path, at: int | None = None, fault: str = "kill"
    ) -> Ended:
        """Run a command in the folder `home`, with a fault before its change number `at`."""
        asked = {
            "arguments": arguments,
            "home": str(home.resolve()),
            "at": at,
            "fault": fault,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self.process.stdout.readline()))


@contextmanager
def serving() -> Iterator[Server]:
    """A server, which ends with the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.injector"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()


def _fork(asked: dict[str, Any]) -> Ended:
    """Run a command in a process of its own."""
    output = Path(f"{asked['home']}.output")
    counted = Path(f"{asked['home']}.count")
    counted.write_text("0")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = _run(asked, output, counted)
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    text = output.read_text()
    return Ended(os.waitstatus_to_exitcode(ended), text, int(counted.read_text()))


def _run(asked: dict[str, Any], output: Path, counted: Path) -> int:
    from pyro_vae.cli.main import main

    os.chdir(asked["home"])
    opened = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    injector = Injector(f"{asked['home']}{os.sep}", asked["at"], asked["fault"])
    injector.install()
    status = main(asked["arguments"])
    injector.at = None
    counted.write_text(str(injector.count))
    return status


def _write_little() -> None:
    """A word in each picture and tree: to draw and pack them is half of a command."""
    from xarray import DataTree

    from pyro_vae.experiment import run_folder

    for name in ("learning_curve", "latent_scatter", "marginals"):
        setattr(run_folder, name, lambda *arguments, **options: None)
    run_folder.save_figure = lambda figure, path: path.write_text("picture")
    DataTree.to_netcdf = lambda self, **options: b"tree"  # type: ignore[method-assign]


def _serve() -> None:
    """Answer the lines of stdin, after a first run in this process, which imports what is slow."""
    from pyro_vae.analysis.marginal_likelihood import row_checkpoint
    from pyro_vae.cli.main import main
    from pyro_vae.training import checkpoint
    from tests.cli.command import write_data

    _write_little()
    checkpoint.SECONDS = 0.0  # a checkpoint after each epoch
    row_checkpoint.SECONDS = row_checkpoint.PAUSE = 0.0
    with tempfile.TemporaryDirectory() as home, redirect_stdout(sys.stderr):
        write_data(Path(home))
        os.chdir(home)
        main(["fit", "spec.toml"])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(vars(_fork(json.loads(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
