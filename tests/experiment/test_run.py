"""`run`: what the command does, and what the complete description in its folder decides."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch

import pyro_vae as pv
from pyro_vae.cli.main import main
from pyro_vae.experiment.description import EvaluateOptions, Experiment
from pyro_vae.experiment.record import fingerprint

SPEC = {
    "data": {"source": "rows.npy", "test": 10, "seed": 3},
    "latent_dim": 1,
    "hidden_dims": (8,),
    "fit": {"epochs": 2},
    "evaluate": {"num_particles": 30},
}


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(60, 3))
    np.save("rows.npy", values)
    return values


def described(folder: str) -> dict:
    loaded: dict = json.loads(Path(folder, "spec.json").read_text())["run"]
    return loaded


@pytest.mark.slow
def test_it_does_what_the_command_does():
    Path("spec.json").write_text(json.dumps(SPEC))
    assert main(["fit", "spec.json", "--output", "command"]) == 0
    outcome = pv.run(SPEC, "function")
    assert {file.name for file in outcome.files} == {
        file.name for file in Path("command").iterdir()
    }
    for name in ("spec.json", "model.safetensors", "metrics.json", "evidence.csv"):
        assert (
            Path("function", name).read_bytes() == Path("command", name).read_bytes()
        ), name
    assert outcome.evidence is not None
    assert outcome.metrics["log_marginal"] == outcome.evidence.log_marginal.mean()
    assert str(outcome) == outcome.summary()
    assert repr(outcome) == "Outcome(folder='function', rows=10)"


def test_the_description_has_every_option_with_its_value():
    pv.run(SPEC, "run")
    complete = Experiment.model_validate({**SPEC, "data_shape": (3,)}).model_dump(
        mode="json"
    )
    found = described("run")
    assert found["data"] == complete["data"]
    assert found["fit"] == complete["fit"]
    assert found["evaluate"] == complete["evaluate"]
    assert found["versions"] == {
        "pyro_vae": pv.__version__,
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "numpy": np.__version__,
    }
    assert found["fingerprint"]["train"] == 60


def test_a_run_is_fitted_anew_from_its_folder():
    first = pv.run(SPEC, "first")
    again = pv.run("first", "again")
    assert again.metrics == first.metrics
    assert described("again") == described("first")
    changed = pv.run(
        "first/spec.json", "changed", settings=["evaluate.num_particles=25"]
    )
    assert described("changed")["evaluate"]["num_particles"] == 25
    assert changed.experiment.fit == first.experiment.fit


@pytest.mark.slow
def test_a_run_is_fitted_to_rows_of_another_shape(tmp_path: Path):
    np.save(tmp_path / "wide.npy", np.random.default_rng(1).normal(size=(40, 5)))
    pv.run(SPEC, "run")
    settings = ["data.source=wide.npy"]
    with pytest.raises(
        ValueError, match=r"^wide\.npy: .* got \(5,\); set data_shape=\[5\], or "
    ):
        pv.run("run", "wide", settings=settings)
    assert not Path("wide").exists()
    wide = pv.run("run", "wide", settings=[*settings, "data_shape=[5]"])
    assert wide.vae.spec.data_shape == (5,)
    assert wide.metrics["rows"] == 10
    assert described("wide")["fit"] == described("run")["fit"]


def test_evaluation_does_not_depend_on_the_defaults_of_today(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pv.run({**SPEC, "evaluate": {}}, "run", settings=["fit.epochs=1"])
    monkeypatch.setattr(EvaluateOptions.model_fields["num_particles"], "default", 7)
    EvaluateOptions.model_rebuild(force=True)
    Experiment.model_rebuild(force=True)
    try:
        assert EvaluateOptions().num_particles == 7
        capsys.readouterr()
        assert main(["evaluate", "run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"]["num_particles"] == 1000
    finally:
        monkeypatch.undo()
        EvaluateOptions.model_rebuild(force=True)
        Experiment.model_rebuild(force=True)
    assert EvaluateOptions().num_particles == 1000


def test_other_rows_in_the_file_are_refused_where_held_out_rows_are_meant(
    rows: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pv.run(SPEC, "run")
    np.save(tmp_path / "rows.npy", rows[::-1])
    assert main(["evaluate", "run"]) == 2
    assert (
        "rows.npy: expected the rows that the run was fitted to"
        in capsys.readouterr().err
    )
    assert main(["evaluate", "run", "--data", "rows.npy"]) == 0
    np.save(tmp_path / "rows.npy", rows)
    assert main(["evaluate", "run"]) == 0


def test_a_fingerprint_depends_on_values_and_their_order(rows: np.ndarray):
    def of(values: np.ndarray, **others: np.ndarray | None) -> dict:
        given = {"valid": None, "test": None, **others}
        return fingerprint(pv.data.Splits("rows", values, columns=None, **given))

    assert of(rows) == of(rows.copy())
    assert of(rows) != of(rows[::-1])
    assert of(rows) != of(rows.reshape(30, 6))
    assert of(rows) != of(rows + 1e-9)
    assert of(rows[:50], test=rows[50:]) != of(rows)
    many = np.zeros((10_000, 2))
    changed = many.copy()
    changed[9999, 1] = 1
    assert of(many) != of(changed)


@pytest.mark.slow
def test_a_folder_that_holds_a_run_is_refused_before_training():
    pv.run(SPEC, "run")
    with pytest.raises(
        ValueError, match=r"run: holds another run; .* \(overwrite=True\)"
    ):
        pv.run(SPEC, "run")
    assert pv.run(SPEC, "run", overwrite=True).metrics["rows"] == 10
    assert pv.run(SPEC, "new", resume=True).metrics["rows"] == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)]
)
def test_files_have_the_mode_that_the_umask_asks_for(umask: int, mode: int):
    before = os.umask(umask)
    try:
        outcome = pv.run(SPEC, "run")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in outcome.files} == {mode}
