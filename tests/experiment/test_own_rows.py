"""A run finds its own rows, and takes no others for them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae.experiment import run_folder
from pyro_vae.experiment.fields import described_run
from tests.cli.command import Done, pyro_vae, write_data

MEAN = 30.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in `first`, and in `second` other rows under the same relative path."""
    monkeypatch.setattr(
        run_folder, "save_figure", lambda figure, path: path.write_text("picture")
    )
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_data(tmp_path / name)
    np.save(
        tmp_path / "second/normal.npy", MEAN + np.load(tmp_path / "first/normal.npy")
    )
    monkeypatch.chdir(tmp_path / "first")
    assert pyro_vae("fit", "spec.toml", "--output", "run").status == 0
    monkeypatch.chdir(tmp_path / "second")
    return tmp_path


RUN = "../first/run"


def held_out(done: Done) -> float:
    assert (done.status, done.err) == (0, "")
    found: float = done.json["metrics"]["log_marginal"]
    return found


def saved() -> float:
    found: float = json.loads(Path(RUN, "metrics.json").read_text())["log_marginal"]
    return found


def test_the_original_file_is_evaluated_from_any_folder() -> None:
    assert held_out(pyro_vae("evaluate", RUN, "--json")) == saved()
    assert pyro_vae("compare", RUN, "../second/../first/run").status == 0
    assert pyro_vae("check", RUN).status in (0, 3)


def test_a_run_is_fitted_again_from_any_folder() -> None:
    again = pv.run(RUN, "again")
    assert again.metrics["log_marginal"] == saved()
    assert again.experiment.data.source.endswith("first/normal.npy")


@pytest.mark.slow
def test_a_run_that_is_fitted_again_to_other_rows_says_so(home: Path) -> None:
    assert "other rows" not in pyro_vae("fit", RUN, "--output", "again").out
    rows = np.load(home / "first/normal.npy")
    np.save(home / "first/normal.npy", np.concatenate([rows, rows[:5] + 1]))
    note = f"normal: other rows than {RUN} was fitted to: expected 60 train, SHA-256 "
    for source in (RUN, f"{RUN}/spec.json"):
        done = pyro_vae("fit", source, "--output", "again", "--overwrite")
        assert done.status == 0
        assert note in done.out
        assert ", got these 60 and 5 more\n" in done.out
    other = pyro_vae("fit", RUN, "--data", "normal.npy", "--output", "other")
    assert (other.status, note in other.out) == (0, False)


def test_the_relative_path_is_taken_where_it_has_the_rows(home: Path) -> None:
    """Data and run were copied together, and the original has changed since."""
    shutil.copytree(home / "first", home / "copy")
    np.save(home / "first/normal.npy", np.load(home / "second/normal.npy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home / "copy")
        assert held_out(pyro_vae("evaluate", "run", "--json")) == saved()


def test_the_relative_path_is_taken_where_the_absolute_one_has_gone(home: Path) -> None:
    shutil.move(home / "first", home / "moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home / "moved")
        assert pyro_vae("evaluate", "run").status == 0
        assert described_run(Path("run"))["data"]["source"] == "normal.npy"


def test_other_rows_of_the_same_name_are_never_held_out(home: Path) -> None:
    (home / "first/normal.npy").unlink()
    done = pyro_vae("evaluate", RUN)
    assert done.status == 2
    assert done.err == (
        "pyro-vae: normal.npy: expected the rows that the run was fitted to (60 train, SHA-256 "
        f"{described_sha()}), got 0 of these 60 and 60 others: rows that are held out today could "
        "be among those that were fitted; pass --data normal.npy to evaluate all of them and count "
        "the fitted ones, or fit again\n"
    )
    remedy = pyro_vae("evaluate", RUN, "--data", "normal.npy")
    assert "rows of normal.npy; none of 60 equal rows that the model" in remedy.out


def described_sha() -> str:
    run = json.loads(Path(RUN, "spec.json").read_text())["run"]
    sha: str = run["fingerprint"]["sha256"]
    return sha[:8]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("shuffled", "got these in another order"),
        ("grown", "got these 60 and 5 more: rows"),
    ],
)
def test_a_file_that_has_changed_is_told(change: str, what: str, home: Path) -> None:
    rows = np.load(home / "first/normal.npy")
    changed = {"shuffled": rows[::-1], "grown": np.concatenate([rows, rows[:5] + 1])}
    np.save(home / "first/normal.npy", changed[change])
    for command in (
        ("evaluate",),
        ("compare",),
        ("check",),
        ("encode", "--output", "x.npy"),
    ):
        done = pyro_vae(command[0], RUN, *command[1:])
        assert done.status == 2
        assert what in done.err
    done = pyro_vae("evaluate", RUN, "--data", "../first/normal.npy")
    assert (
        f"; 48 of {len(changed[change])} equal rows that the model was fitted to\n"
        in done.out
    )


def test_rows_that_have_gone_are_asked_for(home: Path) -> None:
    (home / "first/normal.npy").unlink()
    (home / "second/normal.npy").unlink()
    done = pyro_vae("evaluate", RUN)
    assert done.status == 2
    assert done.err == (
        f"pyro-vae: normal.npy: expected the data of {RUN}, got no file there and none at "
        f"{home}/first/normal.npy; pass --data with the path of a file\n"
    )


def test_anomalies_are_not_judged_by_rows_that_were_fitted_without_a_word() -> None:
    data = ("--data", "../first/normal.npy")
    done = pyro_vae("anomaly", RUN, *data)
    assert done.status == 0
    fitted = "rows of ../first/normal.npy; 48 of 60 equal rows that the model was fitted to\n"
    assert f"{fitted}the p-values of these are too large" in done.out
    assert "all p-values" not in done.out
    both = pyro_vae("anomaly", RUN, *data, "--reference", "../first/normal.npy")
    assert f"{fitted}all p-values are too small" in both.out
