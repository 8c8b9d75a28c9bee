"""A run that is complete is returned by `run(..., resume=True)` as it was returned at first."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae.experiment import run_folder
from pyro_vae.experiment.manifest import manifest_of

SPEC = {
    "data": {"source": "rows.npy", "test": 10},
    "latent_dim": 1,
    "hidden_dims": (8,),
    "fit": {"epochs": 2, "sleep_share": 0.5, "objective": "iwae", "num_particles": 2},
    "evaluate": {"num_particles": 30},
}
FILE = Path("run/training.json")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pv.Run]:
    """The training of a run as it was returned; its folder is in the current one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("home"))
        patch.setattr(
            run_folder, "save_figure", lambda figure, path: path.write_text("picture")
        )
        np.save("rows.npy", np.random.default_rng(0).normal(size=(60, 3)))
        yield pv.run(SPEC, "run").run


def test_the_training_is_returned_with_all_its_fields(first: pv.Run) -> None:
    again = pv.run(SPEC, "run", resume=True).run
    for field in fields(first):
        if field.name != "vae":
            expected: Any = getattr(first, field.name)
            assert getattr(again, field.name) == expected, field.name
    assert repr(again.history) == repr(first.history)  # epochs are whole numbers
    assert again.summary() == first.summary()
    assert first.slept
    assert first.is_importance_weighted
    assert first.baseline is not None


def test_of_a_former_version_the_folder_has_the_history_alone(first: pv.Run) -> None:
    text = FILE.read_text()
    FILE.unlink()
    again = pv.run(SPEC, "run", resume=True).run
    FILE.write_text(text)
    assert again.history == first.history
    assert again.best_epoch == first.best_epoch


@pytest.mark.usefixtures("first")
def test_a_training_that_can_not_be_read_is_a_sentence() -> None:
    FILE.write_text("[]")
    with pytest.raises(ValueError, match=r"^run/training\.json: damaged, or changed"):
        pv.run(SPEC, "run", resume=True)
    others = [file for file in Path("run").iterdir() if file.name != "manifest.json"]
    Path("run/manifest.json").write_text(manifest_of(others))
    with pytest.raises(ValueError, match=r"^run: holds a run that has ended, and its"):
        pv.run(SPEC, "run", resume=True)
