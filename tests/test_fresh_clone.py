"""In a fresh clone the README's commands work in their order, also without symbolic links."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.work_tree import ROOT, clone_to, git

SHORT = (
    "--set",
    "fit.epochs=1",
    "--set",
    "evaluate.num_particles=10",
    "--set",
    "hidden_dims=[8]",
)
SOME = (
    "tests/cli/test_refusals.py",
    "tests/cli/test_readme.py",
    "tests/test_atomic_files.py",
    "pyro_vae/data/files.py",
    "guides/flow.py",
    "analysis/gaps",
)

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the work tree without symbolic links."""
    folder = tmp_path_factory.mktemp("clone") / "clone"
    clone_to(folder, tmp_path_factory.mktemp("scratch"))
    return folder


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What Python does in a folder, where it finds this folder's package first."""
    env = {**os.environ, "PYTHONPATH": str(cwd)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def output(*arguments: str, cwd: Path) -> str:
    """The output of a Python that must succeed."""
    done = python(*arguments, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_command_answers(clone: Path) -> None:
    assert "mean_field" in output("-m", "pyro_vae", "kinds", "guides", cwd=clone)


def test_the_doctests_of_the_top_folders_are_found(clone: Path) -> None:
    quiet = (
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
    )
    listed = output(*quiet, "guides/flow.py", "analysis/gaps", cwd=clone)
    assert "guides/flow.py::pyro_vae.guides.flow." in listed
    assert "::pyro_vae.analysis.gaps." in listed


def test_a_traceback_names_the_file_that_git_knows(clone: Path) -> None:
    program = "from pyro_vae.guides.full_rank import FullRank; FullRank('no number', 2)"
    failed = python("-c", program, cwd=clone)
    assert failed.returncode == 1, failed.stdout
    assert f'File "{clone}/guides/full_rank.py", line' in failed.stderr
    assert "guides/full_rank.py" in git("ls-files", cwd=clone).splitlines()


@pytest.mark.slow
def test_fit_and_then_the_tests(clone: Path) -> None:
    output("-m", "pyro_vae", "fit", *SHORT, cwd=clone)
    assert (clone / "runs/digits/posterior.nc").exists()
    output("-m", "pytest", "-q", "-n", "0", *SOME, cwd=clone)
    assert git("status", "--porcelain", cwd=clone) == ""
    again = python("-m", "pyro_vae", "fit", cwd=clone)
    assert again.returncode == 2  # the second run of a user is asked about the first
    assert "holds another run" in again.stderr


@pytest.mark.slow
def test_mypy_reads_the_top_folders(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    clone = tmp_path / "clone"
    clone_to(clone, tmp_path / "scratch")
    changed = ("guides/base.py", "analysis/fitted.py")
    for name in changed:
        with (clone / name).open("a", encoding="utf-8") as file:
            file.write('\nwrong: int = "text"\n')
    output(".ci/links.py", cwd=clone)
    checked = python("-m", "mypy", "--cache-dir", str(tmp_path / "cache"), cwd=clone)
    assert checked.returncode == 1, checked.stderr
    for name in changed:
        assert f"{name}:" in checked.stdout
    assert "Found 2 errors in 2 files" in checked.stdout
