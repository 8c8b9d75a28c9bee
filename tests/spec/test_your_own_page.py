"""docs/your_own.md: its program runs, and its entry points are of groups that exist."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pyro_vae.guides import GUIDES
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.networks import NETWORKS
from pyro_vae.objectives import OBJECTIVES
from pyro_vae.priors import PRIORS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "your_own.md"


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )


@pytest.mark.slow
def test_the_program_runs(tmp_path: Path) -> None:
    program = "\n".join([*blocks("python"), "print(vae)"])
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "log p(x)" in done.stdout
    assert re.search(r"p\(z\) +Ring .*\n +p\(x \| z\) +Rayleigh ", done.stdout)


def test_the_groups_are_those_of_the_registries() -> None:
    groups = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
    kinds = {
        f"pyro_vae.{registry.room}s"
        for registry in (PRIORS, LIKELIHOODS, GUIDES, NETWORKS, OBJECTIVES)
    }
    assert set(groups) <= kinds
    text = PAGE.read_text(encoding="utf-8")
    assert all(
        f"`{group}.{group.rpartition('.')[2].upper()}`" in text for group in kinds
    )


def test_the_readme_leads_here() -> None:
    assert "(docs/your_own.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
