"""A whole run on a table as it is: text, dates, counts, labels, odd names."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import pyro_vae as pv
from pyro_vae.analysis.figures.histograms import marginals
from pyro_vae.experiment import run_folder
from pyro_vae.experiment.fields import experiment_of
from pyro_vae.experiment.sources import read_described
from pyro_vae.inputs import model_rows
from tests.data.birds import KINDS, birds

QUICK = {
    "latent_dim": 2,
    "hidden_dims": [8],
    "fit": {"epochs": 2},
    "evaluate": {"num_particles": 10},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `birds.csv`, and the run of it in `run`."""
    folder = tmp_path_factory.mktemp("birds")
    birds().to_csv(folder / "birds.csv", index=False)
    said: list[str] = []
    pv.run(
        QUICK | {"data": str(folder / "birds.csv")}, folder / "run", report=said.append
    )
    (folder / "said.txt").write_text("\n".join(said), encoding="utf-8")
    return folder


def prepared(**fields: Any) -> dict[str, str]:
    """The kinds of the columns of a description with these fields, before it is fitted."""
    source = read_described(experiment_of({**QUICK, **fields}))
    assert source.table is not None
    return {column.name: column.kind for column in source.table.schema.columns}


def test_the_kinds_are_said_before_the_first_step(home: Path) -> None:
    said = (home / "said.txt").read_text(encoding="utf-8")
    before, _, _ = said.partition("trained 2 epochs")
    lines = [line.split("  ") for line in before.splitlines()]
    shown = {words[0]: [word.strip() for word in words if word] for words in lines}
    for name, kind in KINDS.items():
        assert kind.replace("left_out", "left out") in shown[name]
    assert "label" in shown["column 0"]


def test_the_folder_describes_the_columns(home: Path) -> None:
    spec = json.loads((home / "run" / "spec.json").read_text(encoding="utf-8"))
    columns = {column["name"]: column for column in spec["model"]["table"]["columns"]}
    assert {name: column["kind"] for name, column in columns.items()} == {
        "column 0": "label",
        **KINDS,
    }
    assert columns["species"]["levels"] == ["hen", "owl", "tit"]
    assert columns["day"]["unit"] == "days"
    assert columns["day"]["origin"].startswith("2021-03")


def test_the_folder_is_fitted_again_to_the_same_model(
    home: Path, tmp_path: Path
) -> None:
    again = pv.run(home / "run", tmp_path / "again")
    first = pv.load(home / "run")
    assert again.vae.spec == first.spec
    for name, value in first.state_dict().items():
        assert value.equal(again.vae.state_dict()[name]), name


def test_evidence_has_the_labels_and_the_row_numbers(home: Path) -> None:
    table = pd.read_csv(home / "run" / "evidence.csv")
    assert list(table)[:3] == ["row", "label", "log_marginal"]
    assert len(table) == 12
    # the labels are 1, 2, 3, ...
    assert (table["label"] == table["row"] + 1).all()
    rows = pv.data.read(home / "birds.csv")
    vae = pv.load(home / "run")
    own = pv.evidence(
        vae, rows.take(table["row"].to_numpy()), num_particles=10, progress=False
    )
    np.testing.assert_allclose(table["log_marginal"], own.log_marginal, rtol=1e-6)
    assert own.to_dataframe().index.tolist() == table["label"].tolist()


ORDER = [3, 0, 7, 9, 1, 6, 8, 2, 5, 4]


@pytest.mark.parametrize("form", ["semicolons", "tabs", "parquet"])
def test_the_same_rows_written_otherwise_have_the_same_log_p(
    form: str, home: Path, tmp_path: Path
) -> None:
    frame = birds().iloc[:, ORDER]
    file = tmp_path / f"rows.{'parquet' if form == 'parquet' else 'txt'}"
    if form == "semicolons":
        frame.to_csv(file, index=False, sep=";", decimal=",")
    elif form == "tabs":
        frame.to_csv(file, index=False, sep="\t")
    else:
        frame.to_parquet(file, index=False)
    vae = pv.load(home / "run")
    how = {"num_particles": 10, "progress": False}
    expected = pv.evidence(vae, birds(), **how).log_marginal
    other = pv.data.read(file)
    np.testing.assert_array_equal(pv.evidence(vae, other, **how).log_marginal, expected)


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "columns": (
        {},
        {"columns": ["mass", "wing.length"]},
        {"mass": "normal", "wing.length": "log_normal"},
    ),
    "drop": ({}, {"drop": ["day", "ring_id"]}, {"day": "left_out"}),
    "index": ({}, {"index": "ring_id"}, {"ring_id": "label", "column 0": "left_out"}),
    "delimiter": ({"sep": "|"}, {"delimiter": "|"}, {"mass": "normal"}),
    "decimal": ({"sep": ";", "decimal": ","}, {"decimal": ","}, {"mass": "normal"}),
    "dtypes": ({}, {"dtypes": {"eggs": "str"}}, {"eggs": "categorical"}),
    "header": ({"header": False}, {"header": False}, {"1": "categorical"}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_data(option: str, tmp_path: Path) -> None:
    written, data, expected = OPTIONS[option]
    frame = birds()
    if option == "dtypes":
        frame["eggs"] %= 4
    frame.to_csv(tmp_path / "rows.csv", index=False, **written)
    source = {"source": str(tmp_path / "rows.csv"), **data}
    assert prepared(data=source).items() >= expected.items()


def test_cells_that_stand_for_missing_values(tmp_path: Path) -> None:
    mass = birds()["mass"].copy()
    mass[7] = -9999
    birds(mass=mass).to_csv(tmp_path / "rows.csv", index=False)
    source = {"source": str(tmp_path / "rows.csv"), "missing": [-9999]}
    found = read_described(experiment_of({**QUICK, "data": source}))
    assert found.table is not None
    assert found.table.missing == {"mass": 1}
    with pytest.raises(ValueError, match=r"missing cells? in the columns? 'mass"):
        prepared(data=source, missing="none")
    source |= {"drop": ["mass"]}
    assert prepared(data=source, missing="none")["mass"] == "left_out"


DESCRIPTION = """
latent_dim = 2
hidden_dims = [8]

[data]
source = "birds.csv"
drop = ["day"]

[columns]
"wing.length" = "normal"
eggs = "poisson"
species = { kind = "ordinal", levels = ["tit", "hen", "owl"] }

[fit]
epochs = 1

[evaluate]
num_particles = 10
"""


def test_a_toml_file_has_the_kinds_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    birds().to_csv("birds.csv", index=False)
    Path("birds.toml").write_text(DESCRIPTION, encoding="utf-8")
    source = read_described(experiment_of("birds.toml"))
    assert source.table is not None
    columns = {column.name: column for column in source.table.schema.columns}
    expected = KINDS | {
        "wing.length": "normal",
        "eggs": "poisson",
        "species": "ordinal",
        "day": "left_out",
    }
    assert {name: columns[name].kind for name in expected} == expected
    assert columns["species"].levels == ("tit", "hen", "owl")


def test_kinds_may_be_set_one_by_one(tmp_path: Path) -> None:
    birds().to_csv(tmp_path / "birds.csv", index=False)
    settings = [
        "columns.wing.length=normal",
        'columns."$x$ and $y".kind=student_t',
        'columns.species={kind="ordinal", levels=["hen", "tit", "owl"]}',
        'data.drop=["day"]',
    ]
    fields = QUICK | {"data": {"source": str(tmp_path / "birds.csv")}}
    source = read_described(experiment_of(fields, settings))
    assert source.table is not None
    kinds = {column.name: column.kind for column in source.table.schema.columns}
    assert kinds == {"column 0": "label", **KINDS} | {
        "wing.length": "normal",
        "$x$ and $y": "student_t",
        "species": "ordinal",
        "day": "left_out",
    }


def test_the_description_of_inspect_gives_the_same_kinds(tmp_path: Path) -> None:
    file = tmp_path / "birds.csv"
    size = pd.Series(["S", "M", "L"] * 20)
    birds(size=size).to_csv(file, index=False)
    asked = {"size": {"kind": "ordinal", "levels": ["S", "M", "L"]}}
    table = pv.data.read(file, columns=asked)
    toml = tomllib.loads(pv.data.inspection.as_toml(table, str(file)))
    source = read_described(experiment_of(toml))
    assert source.table is not None
    assert source.table.schema == table.schema


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather"])
def test_an_index_of_a_file_is_described(suffix: str, tmp_path: Path) -> None:
    """What `inspect` writes is fitted with the same labels, whatever the file calls them."""
    file = tmp_path / f"rows.{suffix}"
    frame = birds().drop(columns=["", "ring_id"])
    labels = [f"bird {number}" for number in range(len(frame))]
    if suffix == "csv":
        frame.set_index(pd.Index(labels)).to_csv(file)
    elif suffix == "parquet":
        frame.set_index(pd.Index(labels)).to_parquet(file)
    else:
        frame.assign(name=labels).to_feather(file)
    table = pv.data.read(file)
    assert table.labels == tuple(labels)
    toml = tomllib.loads(pv.data.inspection.as_toml(table, str(file)))
    source = read_described(experiment_of(toml))
    assert source.table is not None
    assert source.table.schema.modelled == table.schema.modelled
    assert source.labels == tuple(labels)


def test_images_come_from_a_table_with_a_header(tmp_path: Path) -> None:
    """As the digits of Kaggle: pixel0, pixel1, ..."""
    pixels = np.random.default_rng(0).integers(0, 2, (40, 64))
    names = [f"pixel{number}" for number in range(64)]
    pd.DataFrame(pixels, columns=names).to_csv(tmp_path / "digits.csv", index=False)
    fields = {
        "data": str(tmp_path / "digits.csv"),
        "data_shape": [1, 8, 8],
        "latent_dim": 2,
        "encoder": "conv",
        "decoder": "conv",
        "fit": {"epochs": 1},
        "evaluate": {"num_particles": 10},
    }
    outcome = pv.run(fields, tmp_path / "run")
    assert outcome.vae.spec.data_shape == (1, 8, 8)
    written = {file.name for file in outcome.files}
    assert written >= {"samples.png", "posterior.nc", "evidence.csv", "latent.png"}


def test_bits_below_numbers_as_names_are_bits(tmp_path: Path) -> None:
    """What `DataFrame(x).to_csv(index=False)` writes: its first line is no row."""
    bits = np.random.default_rng(0).integers(0, 2, (60, 10))
    pd.DataFrame(bits).to_csv(tmp_path / "bits.csv", index=False)
    source = read_described(experiment_of(str(tmp_path / "bits.csv")))
    assert source.table is not None
    assert source.table.schema.likelihood == {"kind": "bernoulli"}
    np.testing.assert_array_equal(source.table.values, bits)


@pytest.mark.parametrize("offset", [1.7e9])
def test_a_density_knows_no_offset(offset: float, tmp_path: Path) -> None:
    """Sixty-fourths are exact at this offset in float64, and not in float32."""
    rng = np.random.default_rng(0)
    rows = np.rint(64 * rng.normal(size=(60, 2))) / 64
    found = []
    for name, shift in {"plain": 0.0, "shifted": offset}.items():
        table = pd.DataFrame(rows + shift, columns=["a", "b"])
        table.to_csv(tmp_path / f"{name}.csv", index=False, float_format="%.6f")
        fields = {**QUICK, "data": str(tmp_path / f"{name}.csv")}
        vae = pv.run(fields, tmp_path / name).vae
        seen = torch.cat(list(model_rows(vae, table).batches(60)))
        density = vae.likelihood(torch.zeros(60, 2)).log_prob(seen)
        found.append(density.detach().numpy())
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_equal_and_blank_names_are_made_distinct_before_the_fit(
    tmp_path: Path,
) -> None:
    values = np.random.default_rng(0).normal(size=(60, 4)).round(3)
    lines = ["gene,gene,,x", *(",".join(map(str, row)) for row in values)]
    (tmp_path / "genes.csv").write_text("\n".join(lines), encoding="utf-8")
    said: list[str] = []
    fields = {**QUICK, "data": str(tmp_path / "genes.csv")}
    outcome = pv.run(fields, tmp_path / "run", report=said.append)
    assert outcome.vae.spec.table is not None
    assert outcome.vae.spec.table.names == ("gene", "gene (2)", "column 2", "x")
    assert "are called 'gene (2)', 'column 2'" in said[0]
    written = {file.name for file in outcome.files}
    assert written >= {"samples.png", "posterior.nc", "evidence.csv", "latent.png"}


def test_the_picture_of_the_samples_is_in_the_units_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Julian dates as such, times with their unit, categories by name."""
    rng = np.random.default_rng(0)
    day = 2459000 + rng.uniform(0, 30, 80)
    when = pd.Timestamp("2020-01-07") + pd.to_timedelta(np.arange(80), "D")
    species = rng.choice(["Adelie", "Gentoo"], 80)
    frame = pd.DataFrame({"day": day, "when": when, "species": species})
    frame.to_csv(tmp_path / "table.csv", index=False)
    drawn: list[Figure] = []

    def kept(*tables: Any, **options: Any) -> Figure:
        drawn.append(marginals(*tables, **options))
        return drawn[0]

    monkeypatch.setattr(run_folder, "marginals", kept)
    pv.run({**QUICK, "data": str(tmp_path / "table.csv")}, tmp_path / "run")
    days, times, kinds = drawn[0].axes
    assert 2459000 < min(days.dataLim.intervalx) < max(days.dataLim.intervalx) < 2459030
    assert times.get_xlabel().startswith("days since 2020-")
    assert [text.get_text() for text in kinds.get_xticklabels()] == ["Adelie", "Gentoo"]
