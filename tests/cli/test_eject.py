"""`pyro-vae eject`: the program of a run, or of a description."""

from pathlib import Path

import pytest
import torch
from torch.distributions import Independent, Normal

import pyro_vae as pv
from tests.cli.command import pyro_vae, write_data


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    return tmp_path


def test_the_program_of_a_run_is_that_of_its_model(home: Path) -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, prior="mixture")
    pv.save(vae, home / "run")
    assert pyro_vae("eject", "run").out == vae.program()
    assert pyro_vae("eject", "run", "--json").json == {"program": vae.program()}
    assert pyro_vae("eject", "run", "--latex").out == f"{vae.latex()}\n"


def test_the_program_of_a_description_has_the_shape_of_its_data(home: Path) -> None:
    found = pyro_vae("eject", "spec.toml", "--set", "latent_dim=3")
    assert "class VAE(nn.Module):" in found.out
    assert "z of 3 numbers" in found.out
    assert not (home / "runs").exists()


def test_a_description_takes_the_levels_of_its_context_from_the_data(
    home: Path,
) -> None:
    lines = [f"{row % 3},b{row % 2},{row}" for row in range(30)]
    text = "\n".join(["x,batch,age", *lines])
    (home / "rows.csv").write_text(text, encoding="utf-8")
    context = '[context]\ncolumns = {batch = "random_effect", age = "normal"}\n'
    source = '[data]\nsource = "rows.csv"\n'
    (home / "given.toml").write_text(context + source, encoding="utf-8")
    found = pyro_vae("eject", "given.toml")
    assert "# context[:, 0] is 'batch': 0 'b0', 1 'b1', 2 a new one\n" in found.out
    assert "p(z \\mid c)" in pyro_vae("eject", "given.toml", "--latex").out


def test_what_has_no_program_is_an_error(home: Path) -> None:
    done = pyro_vae("eject", "spec.toml", "--set", "guide=semi_amortized")
    assert done.status == 2
    assert "guide: expected a kind that can be written in a few lines" in done.err
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    own = pv.VAE(data_shape=(4,), latent_dim=2, prior=prior)
    pv.save(own, home / "own")
    done = pyro_vae("eject", "own")
    assert done.status == 2
    assert "got your own prior; take pv.load('own', prior=<your " in done.err
    assert "paste your part into prior" in done.err
    pv.save(pv.VAE(data_shape=(4,)), home / "run")
    done = pyro_vae("eject", "run", "--set", "latent_dim=3")
    assert done.status == 2
    assert "name a description instead of a run" in done.err
