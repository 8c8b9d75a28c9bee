"""In a fresh clone the README's commands work in their order: what the first one leaves disturbs no
test.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHORT = ("--set", "fit.epochs=1", "--set", "evaluate.num_particles=10", "--set", "hidden_dims=[8]")
SOME = (
    "tests/cli/test_refusals.py",
    "tests/cli/test_readme.py",
    "tests/test_atomic_files.py",
    "pyro_vae/data/files.py",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout"),
]


def run(*command: str, cwd: Path) -> str:
    """The output of a command that must succeed, in a folder where it finds this folder's package
    first.
    """
    env = {**os.environ, "PYTHONPATH": str(cwd)}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_fit_and_then_the_tests(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "-q", str(ROOT), str(clone), cwd=tmp_path)
    run(sys.executable, "-m", "pyro_vae", "fit", *SHORT, cwd=clone)
    assert (clone / "runs/digits/posterior.nc").exists()
    run(sys.executable, "-m", "pytest", "-q", "-n", "0", *SOME, cwd=clone)
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    again = subprocess.run(
        [sys.executable, "-m", "pyro_vae", "fit"], cwd=clone, capture_output=True, text=True
    )
    assert again.returncode == 2  # the second run of a user is asked about the first
    assert "holds another run" in again.stderr
