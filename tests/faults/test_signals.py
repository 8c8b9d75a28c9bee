"""A command that is killed at random, or ended by SIGTERM, goes on when it is called again."""

import json
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
FIT = ("fit", "spec.toml", "--resume", "--set", "fit.epochs=800")
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
    """A run is killed up to four times; its result is that of a run in one piece."""
    home = tmp_path / "home"
    home.mkdir()
    write_data(home)
    whole = begin(home, *FIT)
    _, err = whole.communicate()
    assert whole.returncode == 0, err
    expected = fixed(home)
    (home / "runs").rename(tmp_path / "whole")
    rng = random.Random(0)
    statuses = [kill_after_a_while(begin(home, *FIT), home, rng) for _ in range(4)]
    assert statuses[0] == -signal.SIGKILL
    last = begin(home, *FIT)
    _, err = last.communicate()
    assert last.returncode == 0, err
    assert fixed(home) == expected
    names = {path.name for path in (home / "runs/normal").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole/normal").iterdir()}


def kill_after_a_while(
    process: "subprocess.Popen[str]", home: Path, rng: random.Random
) -> int:
    """Kill a run within a second of its claim on its folder; its exit status."""
    while process.poll() is None and owner(home) != process.pid:
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 1))
    process.kill()
    process.communicate()
    return process.returncode


def owner(home: Path) -> int | None:
    """The process that has claimed the folder; also one that was killed before."""
    try:
        text = (home / "runs/normal/run.lock").read_text()
    except FileNotFoundError:
        return None
    found: int | None = json.loads(text or "{}").get("pid")
    return found


def test_sigterm_saves_and_says_so(tmp_path: Path) -> None:
    write_data(tmp_path)
    command = (*FIT[:-1], "fit.epochs=1000000", "--set", "fit.compile=off")
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
