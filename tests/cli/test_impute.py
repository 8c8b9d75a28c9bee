"""`pyro-vae impute`, and tables with missing cells in `fit` and `inspect`."""

import shutil

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from tests.cli.command import pyro_vae

ROWS = 80
QUICK = ["--set", "evaluate.num_particles=100"]


def frame():
    random = np.random.default_rng(0)
    size = random.normal(size=ROWS)
    made = pd.DataFrame(
        {
            "name": [f"n{i}" for i in range(ROWS)],
            "length": (40 + 5 * size).round(3),
            "width": (10 + size + random.normal(size=ROWS)).round(3),
            "kind": np.where(size > 0, "big", "small"),
            "remark": "-",
        }
    )
    for column in ("length", "width", "kind"):
        made[column] = made[column].mask(random.random(ROWS) < 0.25)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("impute")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        frame().to_csv("holes.csv", index=False)
        sets = ["fit.epochs=3", "hidden_dims=[8]", "latent_dim=1", "data.index=name"]
        words = [word for one in sets for word in ("--set", one)]
        done = pyro_vae("fit", "holes.csv", *words, *QUICK, "--output", "run")
        assert done.status == 0, done.err
        yield done


@pytest.mark.slow
def test_fit_says_what_it_makes_of_missing_cells(home):
    count = int(frame()[["length", "width", "kind"]].isna().sum().sum())
    assert f"{count} missing cells" in home.out.split("VAE,")[0]
    assert 'missing="at_random"' in home.out
    assert pv.load("run").spec.missing == "at_random"


def test_the_filled_table_has_the_observed_cells(home):
    done = pyro_vae(
        "impute", "run", "--data", "holes.csv", "--output", "filled.csv", *QUICK
    )
    assert done.status == 0, done.err
    filled = pd.read_csv("filled.csv")
    holes = pd.read_csv("holes.csv")
    assert filled.columns.tolist() == holes.columns.tolist()
    assert not filled.isna().any().any()
    for name in holes:
        seen = holes[name].notna()
        assert (filled[name][seen] == holes[name][seen]).all()
    assert "imputed" in done.out
    assert set(filled["kind"]) == {"big", "small"}


def test_draws_stand_below_each_other(home):
    words = ["--draws", "3", "--json", *QUICK]
    done = pyro_vae(
        "impute", "run", "--data", "holes.csv", "--output", "drawn.csv", *words
    )
    drawn = pd.read_csv("drawn.csv")
    assert drawn.columns[0] == ".imputation"
    assert drawn[".imputation"].value_counts().to_dict() == {1: ROWS, 2: ROWS, 3: ROWS}
    missing = np.tile(frame()["length"].isna(), 3)
    each = drawn["length"].to_numpy()[missing].reshape(3, -1)
    assert (each[0] != each[1]).all()
    assert done.json["imputed_cells"] == frame().isna().sum().sum()
    assert done.json["shapes"]["table"][0] == 3 * ROWS


def test_calibration_is_printed_and_in_json(home):
    words = [
        "impute",
        "run",
        "--data",
        "holes.csv",
        "--output",
        "c.csv",
        "--calibrate",
        *QUICK,
    ]
    assert "90 % interval" in pyro_vae(*words).out
    found = pyro_vae(*words, "--json").json["calibration"]
    assert set(found["columns"]) == {"length", "width", "kind"}
    assert found["factor"] > 0


def test_other_files_are_refused_before_work(home):
    done = pyro_vae("impute", "run", "--data", "holes.csv", "--output", "holes.csv")
    assert done.status == 2
    assert "its rows would be lost" in done.err
    done = pyro_vae(
        "impute", "run", "--data", "holes.csv", "--output", "x.csv", "--draws", "-1"
    )
    assert "--draws: expected at least 0" in done.err


def test_inspect_shows_the_patterns(home):
    done = pyro_vae("inspect", "holes.csv")
    assert "which cells are missing together" in done.out
    patterns = pyro_vae("inspect", "holes.csv", "--json").json["patterns"]
    assert sum(pattern["rows"] for pattern in patterns) == ROWS
    lacking = frame()[["length", "width", "kind"]].isna()
    assert patterns[0]["missing"] == []
    assert patterns[0]["rows"] == int((~lacking.any(axis=1)).sum())
    only = lacking["length"] & ~lacking["width"] & ~lacking["kind"]
    assert {"rows": int(only.sum()), "missing": ["length"]} in patterns


def test_arrays_are_filled_in_npy_files(home):
    rows = np.random.default_rng(1).normal(size=(30, 2))
    rows[::3, 0] = np.nan
    np.save("holes.npy", rows)
    vae = pv.VAE(data_shape=(2,), latent_dim=1, missing="at_random", hidden_dims=(8,))
    pv.fit(vae, rows, epochs=1, progress=False)
    pv.save(vae, "arrays")
    words = ["impute", "arrays", "--data", "holes.npy", *QUICK, "--output"]
    done = pyro_vae(*words, "filled.npy")
    assert done.status == 0, done.err
    filled = np.load("filled.npy")
    assert filled.dtype == np.float64
    assert (filled[~np.isnan(rows)] == rows[~np.isnan(rows)]).all()
    assert pyro_vae(*words, "drawn.npy", "--draws", "2").status == 0
    assert np.load("drawn.npy").shape == (2, 30, 2)
    assert "expected a .npy file" in pyro_vae(*words, "filled.csv").err


def test_runs_of_a_table_with_holes_are_compared(home):
    shutil.copytree("run", "again", dirs_exist_ok=True)
    done = pyro_vae("compare", "run", "again", *QUICK)
    assert done.status == 0, done.err
