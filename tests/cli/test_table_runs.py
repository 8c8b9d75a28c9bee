"""The command on a table as it is: a model of it, answers with its names, and refusals."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from tests.cli.command import pyro_vae
from tests.data.birds import KINDS, birds

QUICK = (
    "--set",
    "fit.epochs=2",
    "--set",
    "evaluate.num_particles=10",
    "--set",
    "latent_dim=2",
    "--set",
    "hidden_dims=[8]",
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `birds.csv`, and the model of it in `run`."""
    folder = tmp_path_factory.mktemp("birds")
    birds().to_csv(folder / "birds.csv", index=False)
    output = folder / "run"
    done = pyro_vae("fit", folder / "birds.csv", *QUICK, "--output", output)
    assert done.status == 0, done.err
    (folder / "said.txt").write_text(done.out, encoding="utf-8")
    return folder


@pytest.fixture
def home(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with `birds.csv` and `run`."""
    shutil.copytree(fitted, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def test_the_kinds_are_printed_before_training(fitted: Path) -> None:
    said = (fitted / "said.txt").read_text(encoding="utf-8")
    before, trained, _ = said.partition("trained 2 epochs")
    assert trained
    for name, kind in KINDS.items():
        (line,) = [line for line in before.splitlines() if line.startswith(name)]
        assert f" {kind.replace('left_out', 'left out')} " in line


ORDER = [6, 9, 1, 0, 4, 2, 8, 3, 7, 5]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_other_rows_are_matched_by_name(suffix: str, home: Path) -> None:
    other = birds(note="a remark").iloc[:, [*ORDER, 10]]
    if suffix == ".parquet":
        other.to_parquet("other.parquet", index=False)
    else:
        other.to_csv(
            f"other{suffix}", index=False, sep=";" if suffix == ".csv" else "\t"
        )
    for name in ("birds.csv", f"other{suffix}"):
        done = pyro_vae(
            "evaluate", "run", "--data", name, "--output", f"{name}.evidence.csv"
        )
        assert done.status == 0, done.err
    assert "left out the columns 'note'" in done.out
    first = pd.read_csv("birds.csv.evidence.csv")
    again = pd.read_csv(f"other{suffix}.evidence.csv")
    np.testing.assert_array_equal(again["log_marginal"], first["log_marginal"])
    assert first["label"].tolist() == list(range(1, 61))
    assert first["row"].tolist() == list(range(60))


def test_a_row_of_a_float64_model_is_the_same_beside_others_and_alone(
    home: Path,
) -> None:
    pv.save(pv.load("run").double(), "run", overwrite=True)
    pd.read_csv("birds.csv").head(1).to_csv("one.csv", index=False)
    for name in ("birds", "one"):
        given = ("--data", f"{name}.csv", "--output", f"{name}.npz")
        done = pyro_vae("encode", "run", *given)
        assert done.status == 0, done.err
    alone, beside = (np.load(f"{name}.npz")["loc"][0] for name in ("one", "birds"))
    np.testing.assert_allclose(beside, alone, rtol=1e-12)


def test_labels_of_a_column_without_a_name_are_found_anywhere(home: Path) -> None:
    birds().iloc[:, ORDER].to_csv("other.csv", index=False)
    pyro_vae("evaluate", "run", "--data", "other.csv", "--output", "log_p.csv")
    assert pd.read_csv("log_p.csv")["label"].tolist() == list(range(1, 61))


KEPT = ("species", "mass", "eggs", "ringed", "$x$ and $y", "country", "wing.length")
"""Columns whose dtypes text keeps as well."""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("command", ["sample", "reconstruct"])
def test_rows_of_the_model_are_a_table(command: str, suffix: str, home: Path) -> None:
    done = pyro_vae(command, "run", "--output", f"rows.{suffix}")
    assert done.status == 0, done.err
    if suffix == "csv":
        table = pd.read_csv("rows.csv", parse_dates=["day"])
    else:
        table = pd.read_parquet("rows.parquet").reset_index()
    for name in KEPT:
        assert table[name].dtype == birds()[name].dtype, name
    assert table["day"].dtype.kind == "M"
    assert set(table["species"]) <= {"owl", "tit", "hen"}
    assert set(table["country"]) == {"NO"}
    assert (table["eggs"] >= 0).all()
    if command == "reconstruct":
        held_out = pd.read_csv("run/evidence.csv")["label"]
        assert table["column 0"].tolist() == held_out.tolist()
        assert len(table) == 12
    else:
        assert len(table) == 100


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_codes_have_the_labels(suffix: str, home: Path) -> None:
    done = pyro_vae("encode", "run", "--output", f"codes.{suffix}")
    assert done.status == 0, done.err
    if suffix == "csv":
        table = pd.read_csv("codes.csv", index_col=0)
    else:
        table = pd.read_parquet("codes.parquet")
    assert list(table) == ["loc[0]", "loc[1]", "scale[0]", "scale[1]"]
    held_out = pd.read_csv("run/evidence.csv")["label"]
    assert table.index.tolist() == held_out.tolist()


def test_anomalies_have_labels_and_columns(home: Path) -> None:
    done = pyro_vae("anomaly", "run", "--data", "birds.csv", "--output", "odd.csv")
    assert done.status == 0, done.err
    table = pd.read_csv("odd.csv", index_col=0)
    assert sorted(table.index) == list(range(1, 61))
    # the least likely row is the first line of both
    heads = [line.split()[0] for line in done.out.splitlines() if "±" in line]
    assert heads == [str(label) for label in table.index[:10]]
    named = {
        word.rsplit(" ", 1)[0]
        for cell in table["top_columns"].dropna()
        for word in cell.split(", ")
    }
    assert named & set(KINDS)


@pytest.mark.slow
def test_inspect_writes_a_description_that_is_fitted(home: Path) -> None:
    """A constant column, one with dots in its name, one with `$`; a label without a name."""
    done = pyro_vae("inspect", "birds.csv", "--set", "columns.wing.length=gamma")
    assert done.status == 0, done.err
    assert "'country': one value in all rows, not modelled" in done.out
    _, _, rest = done.out.partition("such as birds.toml")
    toml, _, _ = rest.partition("then: pyro-vae fit")
    Path("birds.toml").write_text(toml, encoding="utf-8")
    done = pyro_vae("fit", "birds.toml", *QUICK, "--output", "again")
    assert done.status == 0, done.err
    for name, kind in {**KINDS, "wing.length": "gamma"}.items():
        (line,) = [line for line in done.out.splitlines() if line.startswith(name)]
        assert f" {kind.replace('left_out', 'left out')} " in line
    labels = pd.read_csv("again/evidence.csv")
    assert (labels["label"] == labels["row"] + 1).all()


def missing_mass() -> pd.DataFrame:
    mass = birds()["mass"].copy()
    mass[3:6] = np.nan
    return birds(mass=mass)


def other_species() -> pd.DataFrame:
    return birds(species=["hawk", *birds()["species"][1:]])


TABLES = {
    "absent.csv": lambda: birds().drop(columns="mass"),
    "unseen.csv": other_species,
    "header.csv": lambda: birds().iloc[:0],
    "missing.csv": missing_mass,
    "counts.csv": lambda: birds(eggs=birds()["eggs"] - 5.5),
    "mixed.csv": lambda: birds(mass=["heavy", *birds()["mass"][1:]]),
}
NEW_ROWS = {
    "absent.csv": "expected the 7 columns of the model, got a table without 'mass'",
    "unseen.csv": "column 'species': expected the levels 'hen', 'owl', 'tit', got 'hawk' in row 0",
    "header.csv": "header.csv: expected rows below the names, got none",
    "missing.csv": r"expected a number in each cell, got 3 missing cells in the columns 'mass",
    "counts.csv": (
        "column 'eggs': likelihood 'negative_binomial' expects values in the support of whole "
        "numbers of at least 0, got .*; round the counts"
    ),
    "mixed.csv": "column 'mass': expected numbers, as 98.*, got 'heavy' in line 2",
}


def refusal(*arguments: str) -> str:
    """The one sentence of a command that refuses."""
    done = pyro_vae(*arguments)
    assert done.status == 2, done.out
    (sentence,) = done.err.splitlines()
    return sentence


@pytest.mark.parametrize("name", NEW_ROWS)
@pytest.mark.parametrize("command", ["evaluate", "encode"])
def test_new_rows_that_the_model_cannot_take(
    command: str, name: str, home: Path
) -> None:
    TABLES[name]().to_csv(name, index=False)
    more = ["--output", "codes.npz"] if command == "encode" else []
    with pytest.raises(ValueError, match=NEW_ROWS[name]):
        raise ValueError(refusal(command, "run", "--data", name, *more))
    assert not Path("codes.npz").exists()


@pytest.mark.slow
def test_missing_cells_are_fitted_and_said(home: Path) -> None:
    missing_mass().to_csv("missing.csv", index=False)
    done = pyro_vae("fit", "missing.csv", *QUICK, "--output", "new")
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("mass")]
    assert " 5 % " in line
    done = pyro_vae("evaluate", "new", "--data", "missing.csv", "--output", "log_p.csv")
    assert done.status == 0, done.err
    assert np.isfinite(pd.read_csv("log_p.csv")["log_marginal"]).all()


FIT = {
    "header.csv": "header.csv: expected rows below the names, got none",
    "mixed.csv": (
        "column 'mass': expected numbers, .* got 'heavy' in line 2; correct it, or pass --set "
        r"""'data.missing=\["heavy"\]', .* or --set 'data.dtypes=\{"mass" = "str"\}' for text"""
    ),
}


@pytest.mark.parametrize("name", FIT)
def test_tables_that_cannot_be_fitted(name: str, home: Path) -> None:
    TABLES[name]().to_csv(name, index=False)
    with pytest.raises(ValueError, match=FIT[name]):
        raise ValueError(refusal("fit", name, *QUICK, "--output", "new"))
    assert not Path("new").exists()


WISHES = {
    "columns.species=normal": (
        "column 'species': likelihood 'normal' needs numbers, got text or categories .*leave it "
        r"""out: --set 'data.drop=\["species"\]'"""
    ),
    "columns.specie=categorical": "got 'specie'; did you mean 'species'",
    "columns.species=catgorical": (
        "columns: column 'species': unknown kind 'catgorical'; .*did you mean 'categorical'"
    ),
    "columns.species=mixed": "columns: column 'species': unknown kind 'mixed'",
    "columns.mass=poisson": (
        "column 'mass': likelihood 'poisson' expects values in the support of whole numbers of at "
        "least 0, got .* in row 0"
    ),
    "columns.mass=bernoulli": "column 'mass': likelihood 'bernoulli' expects values in the support",
    "columns.species=ordinal": (
        "column 'species': expected the order of its levels, .*; give it: --set "
        """'columns."species"=.*"levels" = ."FIRST", "SECOND".*'"""
    ),
    'columns.species={kind="ordinal",levels=["owl","tit"]}': (
        "column 'species': expected the levels 'owl', 'tit', got 'hen'"
    ),
    'data.columns=["mass","egg"]': "got 'egg'; did you mean 'eggs'",
    'data.drop=["colour"]': "expected names of its columns .* got 'colour'",
    "data.index=colour": "expected names of its columns .* got 'colour'; did you mean 'country'",
    'data.dtypes={colour="str"}': "dtypes: expected names of columns, got 'colour'",
    'data.columns=["country"]': (
        r"expected a column to model, .*--set 'columns.\"country\"=\"categorical\"'"
    ),
    "data.decimal=x": "data.decimal: ",
}


@pytest.mark.parametrize("wish", WISHES)
def test_wishes_that_a_table_cannot_meet(wish: str, home: Path) -> None:
    said = refusal("fit", "birds.csv", *QUICK, "--output", "new", "--set", wish)
    with pytest.raises(ValueError, match=WISHES[wish]):
        raise ValueError(said)
    assert not Path("new").exists()


def test_remedies_work_when_they_are_followed(home: Path) -> None:
    """Each setting that a message offers works in a shell as it stands."""
    birds(mass=["heavy", *birds()["mass"][1:]]).to_csv("mixed.csv", index=False)
    said = refusal("fit", "mixed.csv", *QUICK, "--output", "new")
    words = shlex.split(said.partition("; ")[2].replace(", if", " if"))
    offered = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    assert offered == ['data.missing=["heavy"]', 'data.dtypes={"mass" = "str"}']
    done = pyro_vae("inspect", "mixed.csv", "--set", offered[1])
    assert done.status == 0, done.err
    done = pyro_vae("inspect", "mixed.csv", "--set", offered[0])
    assert done.status == 0, done.err
    assert "1 missing cell in the column 'mass'" in done.out


SETTINGS = {
    "prior={kind=mixture, components=3}": 0,
    'prior={"kind": "mixture", "components": 3}': 0,
    "data.columns=[mass, eggs]": 0,
    "data.drop=[day]": 0,
    "prior={kind=mixture": 2,
    "data.columns=[mass": 2,
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_brackets_without_quotes_are_read_or_refused(setting: str, home: Path) -> None:
    """A shell takes the quotes of `--set prior={kind="mixture"}` away."""
    done = pyro_vae("inspect", "birds.csv", "--set", setting)
    assert done.status == SETTINGS[setting], done.err
    if done.status:
        assert "expected a value of TOML" in done.err
        assert "put single quotes around the whole setting" in done.err
