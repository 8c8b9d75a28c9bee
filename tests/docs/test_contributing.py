"""CONTRIBUTING.md: the prior that it adds is a prior, and the folders that it names exist."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis import samples_match_density
from pyro_vae.priors import PRIORS
from tests.docs.pages import ROOT, program, run
from tests.quadrature import mass, vector_grid

PAGE = ROOT / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """The names of the file and of the test that the page shows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PRIORS, "_constructors", dict(PRIORS._constructors))
        found, _ = run(program(PAGE), "contributing")
        yield found


def test_the_test_of_the_page_passes(names: dict[str, Any]) -> None:
    names["test_the_density_is_that_of_scipy"]()


def test_the_doctest_of_the_page_is_right(names: dict[str, Any]) -> None:
    found = names["Logistic"](1, scale=1.0)().log_prob(torch.zeros(1)).exp()
    assert float(found) == pytest.approx(0.25)


def test_the_prior_of_the_page_keeps_the_contract(names: dict[str, Any]) -> None:
    prior = names["Logistic"](2).double()()
    assert (prior.batch_shape, prior.event_shape) == ((), (2,))
    assert float(mass(prior, vector_grid(prior)).sum()) == pytest.approx(1, abs=1e-9)
    assert float(prior.variance[0]) == pytest.approx(1)
    assert samples_match_density(prior).p_value > 0.001


def test_the_prior_of_the_page_is_a_kind(names: dict[str, Any]) -> None:
    vae = pv.VAE(
        data_shape=(4,), latent_dim=2, prior={"kind": "logistic", "scale": 0.5}
    )
    assert isinstance(vae.prior, names["Logistic"])
    assert "z ~ Logistic(0, s)" in str(vae)
    with pytest.raises(ValueError, match="scale"):
        pv.VAE(data_shape=(4,), latent_dim=2, prior={"kind": "logistic", "scale": -1.0})


def test_folders_and_files_of_the_page_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:pyro_vae|guides|analysis|tests|docs|examples)/[\w./]*)`", text
    )
    assert [
        path for path in named if not (ROOT / path).exists() and "logistic" not in path
    ] == []
    inside = re.findall(
        r"^\| `(\w+)/`", text.split("one folder for each question")[1], re.MULTILINE
    )
    assert [name for name in inside if not (ROOT / "analysis" / name).is_dir()] == []
    folders = {path.name for path in (ROOT / "analysis").iterdir() if path.is_dir()}
    assert [
        name for name in sorted(folders - {"__pycache__"}) if f"`{name}/`" not in text
    ] == []


def test_the_citation_has_the_version_and_the_licence_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {pv.__version__}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
