"""`pyro-vae fit --resume` goes on with a run that was killed."""

from pathlib import Path

import pytest

from pyro_vae import saving
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
