"""README.md does what it says: its program runs, its commands parse, its description is one."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pyro_vae.cli.main import parser
from pyro_vae.experiment.description import Experiment

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="there is no README.md")


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("pyro-vae ")]


@pytest.mark.parametrize("short", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_program_runs_and_prints(short: bool, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    program = blocks("python")[0]
    if short:
        program = re.sub(
            r"\b(num_particles|draws)=\d+", r"\1=10", re.sub(r"\bepochs=\d+", "epochs=1", program)
        )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_what_a_new_user_types_stands_in_this_order() -> None:
    """`.ci/run` takes these lines from here: the first one makes `.venv`."""
    first, *others = blocks("bash")[0].splitlines()
    assert re.search(
        r"python -m venv \.venv && .*pip install -c constraints\.txt '\.\[test\]'", first
    )
    assert [line.partition("#")[0].strip() for line in others] == [
        "pyro-vae fit",
        "python -m pytest",
    ]


@pytest.mark.parametrize("line", commands() if README.exists() else [])
def test_the_commands_are_commands(line: str) -> None:
    assert parser().parse_args(shlex.split(line)[1:]).run_command


def test_the_description_is_a_description() -> None:
    for text in blocks("toml"):
        assert Experiment.model_validate(tomllib.loads(text)).fit.epochs > 0
