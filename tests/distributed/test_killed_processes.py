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
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
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


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def whole(home):
    """The files of an unbroken run."""
    command = Command(home, "whole")
    command.end()
    return contents(command.folder)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_process_costs_epochs_and_no_bit(home, whole, number):
    command = Command(home, f"killed{number}")
    victim = command.rank_one() if number else command.rank_zero()
    os.kill(victim, signal.SIGKILL)
    out, err = command.end()
    assert out.count("continues from") == 1
    assert "is taken over" in out or number == 1
    assert err.count("another process has ended") == 1, err
    assert contents(command.folder) == whole


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_stopped_process_is_named_and_the_run_goes_on(home, whole):
    """torchrun, which would wait half a minute for it, is helped by the test."""
    command = Command(home, "stopped")
    victim = command.rank_one()
    os.kill(victim, signal.SIGSTOP)
    assert command.process.stderr is not None
    for line in command.process.stderr:
        if "process 1 has given no sign of life for" in line:
            break
    assert "--set fit.timeout=50" in line
    os.kill(victim, signal.SIGKILL)
    out, _ = command.end()
    assert out.count("continues from") == 1
    assert contents(command.folder) == whole
