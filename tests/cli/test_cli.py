"""The command from data to files: what `fit` writes and prints; other commands agree with it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae.experiment.description import DataOptions, Experiment
from pyro_vae.experiment.fields import DIGITS
from pyro_vae.experiment.splits import read_data
from pyro_vae.guides import GUIDES
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.networks import NETWORKS
from pyro_vae.priors import PRIORS
from tests.cli.command import QUICK, Done, contents, pyro_vae, write_data

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "fit",
    "evaluate",
    "compare",
    "check",
    "anomaly",
    "impute",
    "sample",
    "encode",
    "reconstruct",
    "eject",
    "kinds",
    "schema",
)
MODEL = {"spec.json", "model.safetensors"}
TRAINED = MODEL | {"history.csv", "training.json", "rows.npz", "unfinished"}
"""Before the evaluation."""
TABLES = {
    *("rows.npz", "metrics.json", "history.csv", "evidence.csv", "posterior.nc"),
    *("training.json", "manifest.json"),
}
PICTURES = {"history.png", "latent.png", "reconstructions.png", "samples.png"}
SHORT = (*QUICK, "--set", "hidden_dims=[32]")
TEST_ROWS = 360  # a fifth of 1797, rounded up


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small data and, after `digits`, the run of `pyro-vae fit` in it."""
    folder = tmp_path_factory.mktemp("home")
    write_data(folder)
    return folder


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def digits(home: Path) -> Done:
    """`pyro-vae fit`, made short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        return pyro_vae("fit", *SHORT)


@pytest.fixture(scope="module")
def metrics(digits: Done, home: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((home / "runs/digits/metrics.json").read_text())
    return loaded


def read_csv(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    return {
        name: _column(values)
        for name, values in zip(header, zip(*rows, strict=True), strict=True)
    }


def _column(values: tuple[str, ...]) -> np.ndarray:
    """Numbers where they are, else text."""
    try:
        return np.array(values, dtype=float)
    except ValueError:
        return np.array(values)


# fit


@pytest.mark.slow
def test_fit_writes_these_files_and_no_others(digits: Done, home: Path) -> None:
    assert digits.status == 0
    assert digits.err == ""
    assert os.listdir(home / "runs") == ["digits"]
    folder = home / "runs/digits"
    assert set(os.listdir(folder)) == MODEL | TABLES | PICTURES
    listed = digits.out.partition("\nfiles\n")[2].split()
    assert sorted(listed) == sorted(
        f"runs/digits/{name}" for name in MODEL | TABLES | PICTURES
    )
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_fit_prints_what_it_does_and_finds(
    digits: Done, metrics: dict[str, Any]
) -> None:
    for line in (
        f"pyro-vae {pv.__version__}   cpu",
        "digits: 1437 rows to fit, 360 held out",
        "p(x | z)  x ~ BetaBinomial(16, c m, c (1 - m))",
        "saved in runs/digits",
        f"held-out ELBO       {metrics['elbo']:10.2f} ± {metrics['elbo_se']:.2f} nats per row",
        f"held-out log p(x)   {metrics['log_marginal']:10.2f} ± {metrics['log_marginal_se']:.2f} "
        "nats per row",
        f"rate KL(q‖p)        {metrics['rate']:10.2f} nats per row",
        f"active units        {metrics['active_units']:7d} of 32",
        "trusted                unknown: too few draws to estimate k-hat",
        "360 rows, 20 draws each",
    ):
        assert line in digits.out


def test_metrics_are_the_means_of_the_rows(
    digits: Done, metrics: dict[str, Any], home: Path
) -> None:
    rows = read_csv(home / "runs/digits/evidence.csv")
    assert list(rows) == [
        "row",
        "log_marginal",
        "se",
        "elbo",
        "ess",
        "pareto_k",
        "method",
    ]
    assert metrics["rows"] == len(rows["elbo"]) == TEST_ROWS
    assert metrics["num_particles"] == 20
    assert metrics["unreliable"] is None  # nan has no JSON
    for name in ("log_marginal", "elbo"):
        assert metrics[name] == pytest.approx(rows[name].mean(), rel=1e-14)
        assert metrics[f"{name}_se"] == pytest.approx(
            rows[name].std(ddof=1) / np.sqrt(TEST_ROWS), rel=1e-12
        )
    assert metrics["elbo"] < metrics["log_marginal"] < 0


def test_history_is_a_line_an_epoch(digits: Done, home: Path) -> None:
    history = read_csv(home / "runs/digits/history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert {
        "loss",
        "elbo",
        "rate",
        "distortion",
        "val_elbo",
        "val_rate",
        "val_distortion",
    } <= set(history)
    np.testing.assert_allclose(
        history["elbo"], -(history["rate"] + history["distortion"]), rtol=1e-9
    )


def test_the_description_is_what_was_asked_for(digits: Done, home: Path) -> None:
    described = json.loads((home / "runs/digits/spec.json").read_text())
    asked = {
        **DIGITS,
        "data_shape": (64,),
        "hidden_dims": [32],
        "evaluate": {"num_particles": 20},
        "fit": {**DIGITS["fit"], "epochs": 2},
    }
    complete = Experiment.model_validate(asked).model_dump(mode="json")
    assert {**described["model"], **described["run"]}.items() >= complete.items()


def test_the_draws_are_for_arviz(digits: Done, home: Path) -> None:
    tree = az.from_netcdf(str(home / "runs/digits/posterior.nc"))
    assert tree["posterior"]["z"].shape == (1, 200, 20, 32)
    test = read_data(DataOptions(), None).test
    np.testing.assert_array_equal(tree["observed_data"]["x"], test[:20])
    tree.close()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(
    digits: Done, metrics: dict[str, Any], home: Path
) -> None:
    done = pyro_vae("fit", *SHORT, "--json", "--output", "again")
    assert done.status == 0
    assert done.err == ""
    assert (
        done.json["metrics"]
        == metrics
        == json.loads((home / "again/metrics.json").read_text())
    )
    assert done.json["files"][0] == "again/spec.json"
    assert not done.json["interrupted"]
    former, again = contents(home / "runs/digits"), contents(home / "again")
    for name in ("model.safetensors", "spec.json", "evidence.csv"):
        assert former[name] == again[name]


def test_a_run_is_not_replaced_unasked(digits: Done, home: Path) -> None:
    before = contents(home / "runs")
    done = pyro_vae("fit", *SHORT)
    assert (done.status, done.out) == (2, "")
    assert (
        "runs/digits: holds another run; choose another folder, or overwrite it (--overwrite)"
        in done.err
    )
    assert contents(home / "runs") == before


# The other commands on that run


def test_evaluate_repeats_the_numbers(
    digits: Done, metrics: dict[str, Any], home: Path
) -> None:
    done = pyro_vae("evaluate", "runs/digits", "--json", "--output", "rows.csv")
    assert (done.status, done.err) == (0, "")
    assert done.json == {"metrics": metrics}
    assert (home / "rows.csv").read_bytes() == (
        home / "runs/digits/evidence.csv"
    ).read_bytes()


@pytest.mark.slow
def test_evaluate_takes_more_draws_of_fewer_rows(
    digits: Done, metrics: dict[str, Any]
) -> None:
    settings = ("--set", "evaluate.num_particles=100", "--set", "evaluate.rows=40")
    done = pyro_vae("evaluate", "runs/digits", *settings, "--json")
    assert done.json["metrics"]["num_particles"] == 100
    assert done.json["metrics"]["rows"] == 40
    assert 0 <= done.json["metrics"]["unreliable"] <= 1
    assert (
        "40 rows, 100 draws each" in pyro_vae("evaluate", "runs/digits", *settings).out
    )


def test_evaluate_takes_all_rows_of_another_file(digits: Done, home: Path) -> None:
    np.save(home / "some.npy", pv.data.load("digits")[:30])
    done = pyro_vae("evaluate", "runs/digits", "--data", "some.npy", "--json")
    assert done.json["metrics"]["rows"] == 30
    expected = pv.evidence(
        pv.load("runs/digits"), pv.data.load("digits")[:30], num_particles=20
    )
    assert done.json["metrics"]["log_marginal"] == expected.mean_log_marginal


def test_sample(digits: Done, home: Path) -> None:
    assert (
        pyro_vae(
            "sample", "runs/digits", "-n", "7", "--seed", "3", "--output", "drawn.npz"
        ).status
        == 0
    )
    drawn, expected = (
        np.load(home / "drawn.npz"),
        pv.sample(pv.load("runs/digits"), 7, seed=3),
    )
    assert set(drawn) == {"x", "z", "mean"}
    for name in drawn:
        np.testing.assert_array_equal(drawn[name], getattr(expected, name))


def test_encode_and_reconstruct(digits: Done, home: Path) -> None:
    vae, test = pv.load("runs/digits"), read_data(DataOptions(), None).test
    done = pyro_vae("encode", "runs/digits", "--output", "codes.npz")
    assert done.out == "codes.npz: loc (360, 32), scale (360, 32)\n"
    codes = np.load(home / "codes.npz")
    np.testing.assert_array_equal(codes["loc"], pv.encode(vae, test).loc)
    np.testing.assert_array_equal(codes["scale"], pv.encode(vae, test).scale)
    done = pyro_vae("reconstruct", "runs/digits", "--output", "seen.npy", "--json")
    assert done.json == {"file": "seen.npy", "shapes": {"x": [360, 64]}}
    np.testing.assert_array_equal(np.load(home / "seen.npy"), pv.reconstruct(vae, test))


def test_arrays_of_another_file_are_all_its_rows(digits: Done, home: Path) -> None:
    np.save(home / "some.npy", pv.data.load("digits")[:30])
    for command, expected in (("encode", (30, 32)), ("reconstruct", (30, 64))):
        assert (
            pyro_vae(
                command, "runs/digits", "--data", "some.npy", "--output", "first.npy"
            ).status
            == 0
        )
        assert np.load(home / "first.npy").shape == expected


@pytest.mark.parametrize("command", ["sample", "encode", "reconstruct"])
@pytest.mark.parametrize("name", ["x.txt", "x"])
def test_other_files_are_refused(
    command: str, name: str, digits: Done, home: Path
) -> None:
    done = pyro_vae(command, "runs/digits", "--output", name)
    assert (done.status, done.err) == (
        2,
        f"pyro-vae: --output: expected a .npz, .npy, .csv or .parquet file, got {name}\n",
    )
    assert not (home / name).exists()


# Without a run


def test_schema_holds_every_kind() -> None:
    schema = pyro_vae("schema").json
    assert schema["type"] == "object"
    assert {"latent_dim", "prior", "data", "fit", "evaluate"} <= set(
        schema["properties"]
    )
    for room in (PRIORS, LIKELIHOODS, GUIDES, NETWORKS):
        assert {f"{kind}_{room.room}" for kind in room} <= set(schema["$defs"])
    text = json.dumps(schema)
    referred = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert referred <= set(schema["$defs"])
    assert '"total_count"' in text


@pytest.mark.parametrize("arguments", [(), *((command,) for command in COMMANDS)])
def test_help(arguments: tuple[str, ...]) -> None:
    done = pyro_vae(*arguments, "--help")
    assert done.status == 0
    assert done.out.startswith(f"usage: {' '.join(('pyro-vae', *arguments))}")


def test_help_of_a_command_imports_no_torch(tmp_path: Path) -> None:
    program = f"""
import sys
from pyro_vae.cli.main import main
for command in {COMMANDS}:
    try: main([command, "--help"])
    except SystemExit: pass
heavy = {{"arviz", "matplotlib", "numpy", "pydantic", "pyro", "torch"}} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_it_is_a_module_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyro_vae", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"pyro-vae {pv.__version__}\n"
