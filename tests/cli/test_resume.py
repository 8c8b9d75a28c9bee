"""`pyro-vae fit --resume` goes on with a run that was killed."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae import saving
from pyro_vae.analysis.marginal_likelihood import importance_sampling
from pyro_vae.experiment import run as experiment
from pyro_vae.experiment import run_folder
from pyro_vae.training import checkpoint
from pyro_vae.training.options import SCHEDULES
from tests.cli.command import Done, contents, pyro_vae, write_data

RUN = Path("runs/normal")
LEFT = RUN / "unfinished" / "checkpoint.safetensors"
FIT = ("fit", "spec.toml", "--set", "fit.epochs=4", "--set", "fit.schedule=constant")


class PowerCut(BaseException):
    """What no command survives."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        run_folder, "save_figure", lambda figure, path: path.write_text("picture")
    )
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    return tmp_path


def kill(*arguments: str) -> None:
    """Run the command until the third epoch."""

    def cut(done: float) -> float:
        if done > 0.6:
            raise PowerCut
        return 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCHEDULES, "constant", cut)
        with pytest.raises(PowerCut):
            pyro_vae(*FIT, *arguments)
    assert LEFT.exists()


def refused(done: Done, message: str) -> None:
    assert done.status == 2
    assert done.err.startswith(f"pyro-vae: {message}")


def model(folder: str) -> bytes:
    return Path(folder, "model.safetensors").read_bytes()


def test_it_goes_on_where_it_was_killed() -> None:
    assert pyro_vae(*FIT, "--output", "whole").status == 0
    kill()
    done = pyro_vae(*FIT, "--resume")
    assert (done.status, f"\ncontinues from {LEFT}\n" in done.out) == (0, True)
    assert not LEFT.parent.exists()
    assert model("runs/normal") == model("whole")


def test_rows_that_were_evaluated_are_not_evaluated_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kill after the evaluation; the next one, after a cut, has nothing of it left to do."""

    def cut(*arguments: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "write_numbers", cut)
        with pytest.raises(PowerCut):
            pyro_vae(*FIT)
    assert (RUN / "unfinished" / "evidence.safetensors").exists()
    whole = pyro_vae(*FIT, "--output", "whole")
    monkeypatch.setattr(importance_sampling, "_estimate", cut)
    done = pyro_vae(*FIT, "--resume")
    assert (done.status, whole.status) == (0, 0)
    for name in ("evidence.csv", "metrics.json"):
        assert (RUN / name).read_bytes() == Path("whole", name).read_bytes()
    assert not LEFT.parent.exists()


def test_its_folder_is_its_description() -> None:
    """Nothing but the folder is needed to go on."""
    kill()
    Path("spec.toml").unlink()
    asked = pyro_vae("evaluate", RUN)
    refused(
        asked, f"{RUN}: holds no saved model: spec.json can't be read (No such file"
    )
    assert asked.err.endswith("; its run has not ended: continue it (--resume)\n")
    done = pyro_vae("fit", RUN, "--resume")
    assert (done.status, f"\ncontinues from {LEFT}\n" in done.out) == (0, True)


def test_the_run_that_is_replaced_stays_until_the_new_model_is_trained() -> None:
    assert pyro_vae(*FIT, "--set", "seed=3").status == 0
    before = model("runs/normal")
    kill("--overwrite")
    assert model("runs/normal") == before
    assert pyro_vae("evaluate", RUN).status == 0
    assert pyro_vae(*FIT, "--overwrite", "--resume").status == 0
    assert model("runs/normal") != before
    assert not LEFT.exists()


def test_room_on_the_disk_is_looked_for_before_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=9999))
    done = pyro_vae(*FIT)
    refused(done, f"{RUN}: the files of this run need ")
    assert "and the disk has 0.0 MB left; make room, or choose another" in done.err
    assert "trained" not in done.out
    assert not RUN.exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("evaluate.retry=defensive", "num_particles: expected at least 21 with retry"),
        ("evaluate.until={max_particles=3}", "until.max_particles: expected at least"),
    ],
)
def test_the_evaluation_is_checked_before_the_training(
    setting: str, message: str
) -> None:
    done = pyro_vae(*FIT, "--set", setting)
    refused(done, message)
    assert not RUN.exists()


def test_a_training_that_diverges_leaves_its_best_weights_and_may_leave_steps_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guide = ("--set", "guide=low_rank", "--set", "fit.optimizer=sgd")
    diverging = (
        "fit",
        "spec.toml",
        *guide,
        "--set",
        "fit.lr=3",
        "--set",
        "fit.epochs=60",
    )
    done = pyro_vae(*diverging)
    assert done.status == 2
    assert "not finite in epoch" in done.err
    assert done.err.endswith("; the best weights are in runs/normal/unfinished/best\n")
    assert pv.load(RUN / "unfinished" / "best").spec.guide.kind == "low_rank"
    refused(pyro_vae(*diverging), f"{RUN}: holds a run that has not ended")


def test_rows_that_ended_a_training_are_shown_by_the_command_that_it_names() -> None:
    rows = np.load("normal.npy")
    rows[[3, 50], 1] = (
        3e14  # their squares, which the loss has, leave float32 in a gradient
    )
    pd.DataFrame(rows, [f"bird {one}" for one in range(60)], list("abcd")).to_csv(
        "far.csv", index_label="name"
    )
    asked = ("--set", "data.index=name", "--set", "fit.optimizer=sgd")
    done = pyro_vae(
        "fit", "far.csv", *asked, "--set", "fit.lr=1e30", "--set", "hidden_dims=[8]"
    )
    found = re.search(r"look there with pyro-vae (.*)$", done.err.strip())
    assert done.status == 2
    assert found is not None, done.err
    assert not Path("runs/far").exists()
    shown = pyro_vae(*shlex.split(found[1]))
    assert shown.status == 0
    assert "far.csv, row 0 ('bird 0')\ncolumn  value" in shown.out
    far = pyro_vae("inspect", "far.csv", "--row", "50", *asked[:2]).out.splitlines()
    assert far[2].split()[:2] == ["b", "3e+14"]
    array = pyro_vae("inspect", "normal.npy", "--row", "60")
    refused(array, "--row: expected numbers from 0 to 59, got 60")


def test_nobody_forgets_it(home: Path) -> None:
    kill()
    before = contents(home)
    refused(
        pyro_vae(*FIT),
        f"{RUN}: holds a run that has not ended; continue it (--resume), or replace it (--over",
    )
    refused(
        pyro_vae(*FIT, "--resume", "--set", "fit.lr=1"),
        f"{LEFT}: holds another run: lr was 0.002, and is 1.0; ",
    )
    assert contents(home) == before


def test_it_is_replaced_by_one_that_starts_anew() -> None:
    kill("--set", "seed=3")
    assert pyro_vae(*FIT, "--overwrite").status == 0
    assert not LEFT.exists()


def test_where_there_is_none_it_starts_and_where_all_is_done_it_says_so() -> None:
    """A scheduler calls one and the same command again and again."""
    assert pyro_vae(*FIT, "--resume").status == 0
    before = contents(RUN)
    done = pyro_vae(*FIT, "--resume")
    assert done.status == 0
    assert done.out.startswith(f"{RUN}: this run has ended, nothing is left to do\n")
    refused(
        pyro_vae(*FIT, "--resume", "--set", "fit.lr=1"),
        f"{RUN}: holds a run that has ended: fit.lr was 0.002, and is 1.0; ",
    )
    assert contents(RUN) == before


def test_what_a_full_disk_did_not_take_is_saved_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "save_tensors", full)
        assert pyro_vae(*FIT).status == 1
    assert pyro_vae(*FIT, "--resume").status == 0
    assert pyro_vae(*FIT, "--output", "whole").status == 0
    assert model("runs/normal") == model("whole")
