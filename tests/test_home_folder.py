"""A ~ at the start of a path is the home folder; a name that only begins with one is a name."""

from pathlib import Path

import numpy as np
import pytest

import pyro_vae as pv

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
SMALL = {"latent_dim": 1, "hidden_dims": (4,)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "me").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("start", "where"), [("~/", "me/"), ("~", "~")])
def test_a_model_and_a_checkpoint(start: str, where: str, home: Path) -> None:
    vae = pv.VAE(data_shape=(3,), **SMALL)
    assert pv.save(vae, f"{start}model") == home / f"{where}model" or where == "~"
    assert pv.load(f"{start}model").spec == vae.spec
    pv.fit(vae, X, epochs=1, checkpoint=f"{start}checkpoint")
    assert (home / f"{where}checkpoint").is_file()
    with pytest.raises(ValueError, match="holds another run"):
        pv.save(vae, f"{start}model")
    assert (home / f"{where}model/spec.json").is_file()


def test_a_description(home: Path) -> None:
    (home / "me/spec.toml").write_text("data_shape = [3]\nlatent_dim = 1\n")
    assert pv.VAE.from_spec("~/spec.toml").spec.data_shape == (3,)


def test_a_run(home: Path) -> None:
    np.save(home / "me/rows.npy", X)
    settings = ["fit.epochs=1", "evaluate.num_particles=5"]
    spec = {"data": "~/rows.npy", **SMALL}
    outcome = pv.run(spec, "~/runs/mine", settings=settings)
    assert outcome.folder == home / "me/runs/mine"
    assert {path.name for path in home.iterdir()} == {"me"}
    assert not list((home / "me").glob("~*"))


def test_a_run_of_this_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` has no name that a checkpoint could be called after."""
    np.save(home / "rows.npy", X)
    (home / "here").mkdir()
    monkeypatch.chdir(home / "here")
    settings = ["fit.epochs=1", "evaluate.num_particles=5"]
    outcome = pv.run({"data": "../rows.npy", **SMALL}, ".", settings=settings)
    assert (home / "here/metrics.json").is_file()
    assert outcome.folder == home / "here"
    assert {path.name for path in home.iterdir()} == {"me", "here", "rows.npy"}
