"""A command that is killed at random, or ended by SIGTERM, goes on when it is called again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import write_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]
ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from pyro_vae.cli.main import main
from pyro_vae.training import checkpoint
checkpoint.SECONDS = 0.2
sys.exit(main(sys.argv[1:]))
"""
FIT = ("fit", "spec.toml", "--resume", "--set", "fit.epochs=1500")
FIXED = ("model.safetensors", "metrics.json", "evidence.csv", "rows.npz", "spec.json")


def begin(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fixed(home: Path) -> dict[str, bytes]:
    return {name: (home / "runs/normal" / name).read_bytes() for name in FIXED}


def test_random_kills_cost_no_work(tmp_path: Path) -> None:
    """A run of some seconds is killed five times; its result is that of a run in one piece."""
    home = tmp_path / "home"
    home.mkdir()
    write_data(home)
    whole = begin(home, *FIT)
    began = time.monotonic()
    assert whole.wait() == 0, whole.communicate()
    seconds = time.monotonic() - began
    expected = fixed(home)
    (home / "runs").rename(tmp_path / "whole")
    rng = random.Random(0)
    killed = 0
    while killed < 5:
        process = begin(home, *FIT)
        time.sleep(seconds * rng.uniform(0.4, 0.9))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        killed += 1
    last = begin(home, *FIT)
    _, err = last.communicate()
    assert last.returncode == 0, err
    assert killed > 1
    assert fixed(home) == expected
    names = {path.name for path in (home / "runs/normal").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole/normal").iterdir()}


def test_sigterm_saves_and_says_so(tmp_path: Path) -> None:
    write_data(tmp_path)
    command = (*FIT[:-1], "fit.epochs=1000000")
    process = begin(tmp_path, *command)
    checkpoint = tmp_path / "runs/normal/unfinished/checkpoint.safetensors"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err == (
        "pyro-vae: ended by SIGTERM; runs/normal has what is done: continue it (--resume)\n"
    )
    assert not (tmp_path / "runs/normal/run.lock").exists()
    again = begin(tmp_path, *command)
    assert again.stdout is not None
    lines = iter(again.stdout.readline, "")
    assert any(
        line.startswith("continues from runs/normal/unfinished/") for line in lines
    )
    again.kill()
    again.communicate()
