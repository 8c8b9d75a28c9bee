"""A process of two is killed or stopped; torchrun starts them again, and they go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import write_data
from tests.distributed.worker import TWO, environment
from tests.faults.test_faults import contents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes there"),
]
FIT = (
    *(*TWO, "--max-restarts=3", "-m", "pyro_vae", "fit", "spec.toml"),
    *("--set", "fit.epochs=500", "--set", "fit.compile=off", "--set", "fit.timeout=5"),
)


class Command:
    """`torchrun ... fit` while it runs."""

    def __init__(self, home: Path, name: str) -> None:
        self.folder = home / name
        self.process = subprocess.Popen(
            [sys.executable, *FIT, "--output", name],
            cwd=home,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rank_zero(self) -> int:
        """The process that has claimed the folder, once there is a checkpoint."""
        checkpoint = self.folder / "unfinished/checkpoint.safetensors"
        while not checkpoint.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.01)
        number: int = json.loads((self.folder / "run.lock").read_text())["pid"]
        return number

    def rank_one(self) -> int:
        """The other child of torchrun."""
        first = self.rank_zero()
        torchrun = self.process.pid
        text = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text()
        (other,) = set(map(int, text.split())) - {first}
        return other

    def end(self) -> tuple[str, str]:
        out, err = self.process.communicate(timeout=250)
        assert self.process.returncode == 0, err
        return out, err


def finished(home: Path, name: str) -> dict[str, bytes | None]:
    """The files of an unbroken run."""
    command = Command(home, name)
    command.end()
    return contents(command.folder)


def killed(home: Path, rank: int) -> tuple[dict[str, bytes | None], str, str]:
    """The files of a run of which a process was killed, and what was printed."""
    command = Command(home, f"killed{rank}")
    victim = command.rank_one() if rank else command.rank_zero()
    os.kill(victim, signal.SIGKILL)
    out, err = command.end()
    return contents(command.folder), out, err


def stopped(home: Path) -> tuple[dict[str, bytes | None], str, str]:
    """The same of a run of which process 1 was stopped, and the line that names it.

    torchrun, which would wait half a minute for a stopped process, is helped.
    """
    command = Command(home, "stopped")
    victim = command.rank_one()
    os.kill(victim, signal.SIGSTOP)
    assert command.process.stderr is not None
    line = ""
    while "process 1 has given no sign of life for" not in line:
        line = command.process.stderr.readline()
        assert line, "nobody misses it"
    os.kill(victim, signal.SIGKILL)
    out, _ = command.end()
    return contents(command.folder), out, line


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def whole(home):
    return finished(home, "whole")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_costs_epochs_and_no_bit(home, whole, rank):
    found, out, err = killed(home, rank)
    assert out.count("continues from") == 1
    assert "is taken over" in out or rank == 1
    # torchrun ends the others with SIGTERM, which may come before they miss the one that is gone
    told = ("another process has ended", "ended by SIGTERM")
    assert sum(err.count(sentence) for sentence in told) == 1, err
    assert found == whole


def test_a_stopped_process_is_named_and_the_run_goes_on(home, whole):
    found, out, line = stopped(home)
    assert "--set fit.timeout=50" in line
    assert out.count("continues from") == 1
    assert found == whole
