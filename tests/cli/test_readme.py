"""README.md and docs/command.md: the program runs, the commands parse, the description is valid."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pyro_vae.cli.main import COMMANDS, parser
from pyro_vae.experiment.description import Experiment
from pyro_vae.guides import GUIDES
from pyro_vae.networks import NETWORKS
from pyro_vae.priors import PRIORS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
COMMAND = ROOT / "docs" / "command.md"
SITE_ONLY = {"changelog.md", "contributing.md", "index.md"}

pytestmark = pytest.mark.skipif(not README.exists(), reason="there is no README.md")


def blocks(language: str, page: Path = README) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$",
        page.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )


def commands() -> list[str]:
    """The lines of both pages that start with `pyro-vae`, without their comments."""
    both = [*blocks("bash"), *blocks("bash", COMMAND)]
    lines = "\n".join(both).splitlines()
    return [
        line.partition("#")[0].strip() for line in lines if line.startswith("pyro-vae ")
    ]


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.slow
def test_the_programs_run(number: int, short: bool, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    program = blocks("python")[number]
    if short:
        program = re.sub(
            r"\b(num_particles|draws)=\d+",
            r"\1=10",
            re.sub(r"\bepochs=\d+", "epochs=1", program),
        )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert bool(done.stdout.strip()) == ("print(" in program)


def test_what_a_new_user_types_stands_in_this_order() -> None:
    """`.ci/run` takes these lines from here: the first one makes `.venv`."""
    first, *others = blocks("bash")[0].splitlines()
    assert re.search(
        r"python -m venv \.venv && .*pip install -c constraints\.txt '\.\[test\]'",
        first,
    )
    assert [line.partition("#")[0].strip() for line in others] == [
        "pyro-vae fit",
        "python -m pytest",
    ]


@pytest.mark.parametrize("line", commands() if README.exists() else [])
def test_the_commands_are_commands(line: str) -> None:
    assert parser().parse_args(shlex.split(line)[1:]).run_command


def test_the_description_is_a_description() -> None:
    descriptions = blocks("toml", COMMAND)
    assert descriptions
    for text in descriptions:
        assert Experiment.model_validate(tomllib.loads(text)).fit.epochs > 0


def test_every_command_is_on_its_page() -> None:
    shown = {shlex.split(line)[1] for line in commands()}
    assert shown == {command.__name__.rpartition(".")[2] for command in COMMANDS}


def test_the_parts_of_the_readme_are_those_of_the_library() -> None:
    text = README.read_text(encoding="utf-8")
    for registry in (PRIORS, GUIDES, NETWORKS):
        assert [kind for kind in registry if f"`{kind}`" not in text] == []


def test_the_readme_leads_to_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - SITE_ONLY
    assert [name for name in sorted(pages) if f"(docs/{name})" not in text] == []
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert [path for path in linked if not (ROOT / path).exists()] == []
    assert (ROOT / "docs/images/digits.png").stat().st_size <= 200_000
