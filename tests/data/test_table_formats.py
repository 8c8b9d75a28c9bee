"""Tables of other programs: spreadsheets, statistics packages, ARFF, FITS and FCS."""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pyro_vae.data.files import load
from pyro_vae.data.stored import Fault
from pyro_vae.data.table_files import read_frame

TABLE = pd.DataFrame(
    {
        "count": pd.array([1, None, 2**60 + 1], dtype="Int64"),
        "flag": pd.array([True, None, False], dtype="boolean"),
        "mass": [1.5, np.nan, -2.0],
        "kind": pd.Categorical(
            ["low", "high", None], ["low", "mid", "high"], ordered=True
        ),
        "day": pd.to_datetime(["2020-01-31", None, "2021-12-01"]).astype(
            "datetime64[us]"
        ),
        "name": pd.array(["a", "b", None], dtype="str"),
    }
)


def refuses(message, path, **options):
    with pytest.raises(Fault, match=message):
        read_frame(path, **options)


def test_parquet_and_feather_keep_types(tmp_path):
    TABLE.to_parquet(tmp_path / "x.parquet")
    TABLE.to_feather(tmp_path / "x.feather")
    for name in ("x.parquet", "x.feather"):
        frame, notes = read_frame(tmp_path / name)
        pd.testing.assert_frame_equal(frame, TABLE)
        assert notes == ()


def test_arrow_of_another_library(tmp_path):
    """Without what pandas adds to a file, integers with missing cells stay integers."""
    pa = pytest.importorskip("pyarrow")
    from decimal import Decimal

    table = pa.table(
        {
            "n": pa.array([2**60 + 1, None, 3]),
            "flag": pa.array([True, None, False]),
            "price": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
            "day": pa.array([0, None, 1], pa.date32()),
        }
    )
    for name, opener in {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}.items():
        with opener(tmp_path / f"{name}.arrow", table.schema) as writer:
            writer.write_table(table)
        frame, _ = read_frame(tmp_path / f"{name}.arrow")
        assert frame["n"].tolist() == [2**60 + 1, pd.NA, 3]
        assert frame["flag"].dtype == "boolean"
        assert frame["price"].dropna().tolist() == [1.5, 2.25]
        assert frame["day"].dropna().tolist() == [
            pd.Timestamp(0),
            pd.Timestamp("1970-01-02"),
        ]
    nested = pa.table({"a": pa.array([[1], [2]])})
    with pa.ipc.new_file(tmp_path / "nested.arrow", nested.schema) as writer:
        writer.write_table(nested)
    refuses("lists or records in 'a'", tmp_path / "nested.arrow")


def test_an_index_is_kept(tmp_path):
    TABLE.set_axis(["r1", "r2", "r3"]).to_parquet(tmp_path / "x.parquet")
    frame, notes = read_frame(tmp_path / "x.parquet")
    assert frame["column 0"].tolist() == ["r1", "r2", "r3"]
    assert any("index" in note for note in notes)
    numbers = pd.DataFrame({"a": [1.5, 2.5]}, index=[7, 3])
    numbers.to_parquet(tmp_path / "n.parquet")
    np.testing.assert_array_equal(load(tmp_path / "n.parquet"), [[1.5], [2.5]])
    assert read_frame(tmp_path / "n.parquet").frame["column 0"].tolist() == [7, 3]


def test_options_that_a_format_has_not(tmp_path):
    TABLE.to_parquet(tmp_path / "x.parquet")
    refuses("delimiter: .parquet has none", tmp_path / "x.parquet", delimiter=",")
    refuses("header: .parquet has its own names", tmp_path / "x.parquet", header=True)
    (tmp_path / "x.csv").write_text("a\n1\n")
    refuses("array: text has none", tmp_path / "x.csv", array="a")


def test_names_that_are_no_text(tmp_path):
    pd.DataFrame(np.ones((2, 2))).to_feather(tmp_path / "x.feather")
    assert read_frame(tmp_path / "x.feather").frame.columns.tolist() == ["0", "1"]


def test_an_empty_table(tmp_path):
    TABLE.iloc[:0].to_parquet(tmp_path / "x.parquet")
    refuses(r"expected rows, got a table of shape \(0, 6\)", tmp_path / "x.parquet")


def test_types_and_missing_cells_that_the_user_names(tmp_path):
    pd.DataFrame({"a": [1, -9, 3], "b": ["x", "bad", "y"]}).to_parquet(
        tmp_path / "x.parquet"
    )
    frame, _ = read_frame(
        tmp_path / "x.parquet", missing=[-9, "bad"], dtypes={"b": "category"}
    )
    assert (
        frame["a"].isna().tolist() == frame["b"].isna().tolist() == [False, True, False]
    )
    assert frame["b"].cat.categories.tolist() == ["x", "y"]
    refuses(
        "column 'b' can't be float64", tmp_path / "x.parquet", dtypes={"b": "float64"}
    )


# Excel


def write_sheets(path, **sheets):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(path) as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)


def test_excel(tmp_path):
    table = TABLE.drop(columns=["count", "flag", "kind"]).assign(
        n=[1, 2, 3], yes=[True, False, True]
    )
    write_sheets(
        tmp_path / "x.xlsx", cover=pd.DataFrame(), rows=table, more=TABLE[["mass"]]
    )
    frame, notes = read_frame(tmp_path / "x.xlsx")
    pd.testing.assert_frame_equal(frame, table, check_dtype=False)
    assert frame.dtypes.map(lambda dtype: dtype.kind).tolist() == [*"fMOib"]
    assert (
        "sheet 'rows' of 'cover', 'rows', 'more' is read; array= names another one"
        in notes
    )
    frame, _ = read_frame(tmp_path / "x.xlsx", array="more")
    assert frame.columns.tolist() == ["mass"]
    refuses(
        "a sheet named 'none', got 'cover', 'rows', 'more'",
        tmp_path / "x.xlsx",
        array="none",
    )


def test_excel_without_a_header(tmp_path):
    pytest.importorskip("openpyxl")
    values = np.random.default_rng(0).normal(size=(9, 3))
    pd.DataFrame(values).to_excel(tmp_path / "x.xlsx", header=False, index=False)
    frame, notes = read_frame(tmp_path / "x.xlsx")
    np.testing.assert_allclose(frame.to_numpy(), values)
    assert "no header: columns are named 0 to 2" in notes
    digits = pd.DataFrame([[0, 1], [1, 0], [0, 0]])
    digits.to_excel(tmp_path / "y.xlsx", header=False, index=False)
    refuses("which may be either; pass header=True", tmp_path / "y.xlsx")
    assert len(read_frame(tmp_path / "y.xlsx", header=False).frame) == 3
    assert len(read_frame(tmp_path / "y.xlsx", header=True).frame) == 2


def test_a_mistake_in_excel_names_its_row(tmp_path):
    cells = [1.5, 2.5, "1,O"] + [3.5] * 12
    write_sheets(
        tmp_path / "x.xlsx", rows=pd.DataFrame({"size": cells, "n": range(15)})
    )
    refuses("column 'size': .* got '1,O' in row 4", tmp_path / "x.xlsx")
    cells = [1.5, 2.5, "?"] + [3.5] * 12
    write_sheets(
        tmp_path / "x.xlsx", rows=pd.DataFrame({"size": cells, "n": range(15)})
    )
    assert read_frame(tmp_path / "x.xlsx").frame["size"].isna().sum() == 1


def test_excel_needs_a_package(tmp_path, monkeypatch):
    write_sheets(tmp_path / "x.xlsx", rows=TABLE[["mass"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    refuses(
        "expected the package openpyxl, .* pip install openpyxl", tmp_path / "x.xlsx"
    )


# ARFF

ARFF = """% Weka
@RELATION 'a table'
@attribute size real [0, 10]
@attribute 'the kind'  {round, 'very flat', "it's",10}
@attribute note STRING
@attribute day date "yyyy-MM-dd HH:mm"
@attribute n integer

@DATA
% a comment
1.5, round, "a, b", "2020-01-31 10:30", 3
?, "very flat", ?, ?, 4
-2e3, 10, ä, "2021-12-01 00:00", ?
"""


def test_arff(tmp_path):
    (tmp_path / "x.arff").write_text(ARFF)
    (tmp_path / "y.arff.gz").write_bytes(
        gzip.compress((tmp_path / "x.arff").read_bytes())
    )
    for name in ("x.arff", "y.arff.gz"):
        frame, _ = read_frame(tmp_path / name)
        assert frame.columns.tolist() == ["size", "the kind", "note", "day", "n"]
        np.testing.assert_array_equal(frame["size"], [1.5, np.nan, -2000])
        kind = frame["the kind"]
        assert kind.tolist() == ["round", "very flat", "10"]
        assert kind.cat.categories.tolist() == ["round", "very flat", "it's", "10"]
        assert not kind.cat.ordered
        assert frame["note"].tolist()[::2] == ["a, b", "ä"]
        assert frame["day"][0] == pd.Timestamp("2020-01-31 10:30")
        assert frame.isna().sum().tolist() == [1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{0 1.5, 1 round}\n", "got sparse ARFF; save it as dense"),
        (
            "1.5, green, a, ?, 3\n",
            "column 'the kind': expected one of its 4 levels, got 'green'",
        ),
        (
            "big, round, a, ?, 3\n",
            "column 'size': expected numbers, got 'big' in row 0",
        ),
        (
            "1.5, round, a, 2020, 3\n",
            "column 'day': expected times as %Y-%m-%d %H:%M, got",
        ),
        ("1.5, round\n", "expected 5 cells in each row below @data, .* got 2"),
        (
            "1.5, round, a, ?, 3\n1, 2, 3, 4, 5, 6\n",
            "expected 5 cells in each row below @data",
        ),
        ("", "expected @attribute lines and rows"),
    ],
)
def test_arff_mistakes(tmp_path, data, message):
    head = ARFF[: ARFF.index("@DATA")]
    (tmp_path / "x.arff").write_text(f"{head}@data\n{data}")
    refuses(message, tmp_path / "x.arff")


# Stata, SPSS, SAS


def test_stata_labels_have_no_order(tmp_path):
    table = pd.DataFrame(
        {
            "sex": pd.Categorical(
                ["male", "female", None], ["male", "female", "other"]
            ),
            "age": [30.0, np.nan, 40.0],
            "day": pd.to_datetime(["2020-01-31", "2020-02-29", "2021-12-01"]),
            "name": ["ä", "b", ""],
            "n": np.array([1, 2, 3], dtype=np.int16),
        }
    )
    table.to_stata(tmp_path / "x.dta", write_index=False, version=118)
    frame, notes = read_frame(tmp_path / "x.dta")
    assert frame["sex"].tolist()[:2] == ["male", "female"]
    assert frame["sex"].cat.categories.tolist() == ["male", "female", "other"]
    assert not frame["sex"].cat.ordered
    np.testing.assert_array_equal(frame["age"], table["age"])
    assert frame["day"].tolist() == table["day"].tolist()
    assert frame["name"].tolist() == ["ä", "b", ""]
    assert frame["n"].dtype == np.int16
    assert notes == ()


def test_stata_labels_of_some_values_leave_numbers(tmp_path):
    table = pd.DataFrame({"age": [30, 40, 99], "both": [1, 2, 3]})
    labels = {"age": {99: "refused"}, "both": {1: "x", 2: "x", 3: "y"}}
    table.to_stata(
        tmp_path / "x.dta", write_index=False, value_labels={"age": labels["age"]}
    )
    frame, notes = read_frame(tmp_path / "x.dta")
    assert frame["age"].tolist() == [30, 40, 99]
    assert notes == ("column 'age': values are kept, because only some have a label",)
    table.to_stata(tmp_path / "x.dta", write_index=False, value_labels=labels)
    assert read_frame(tmp_path / "x.dta").frame["both"].tolist() == [1, 2, 3]


def test_spss(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    table = pd.DataFrame(
        {
            "sex": [1.0, 2, 2],
            "mood": [1.0, 3, 2],
            "age": [30.0, 99, 40],
            "name": ["a", "b", "c"],
        }
    )
    pyreadstat.write_sav(
        table,
        tmp_path / "x.sav",
        variable_value_labels={
            "sex": {1: "male", 2: "female"},
            "mood": {1: "bad", 2: "fair", 3: "good"},
            "age": {99: "refused"},
        },
        variable_measure={"sex": "nominal", "mood": "ordinal", "age": "scale"},
    )
    frame, notes = read_frame(tmp_path / "x.sav")
    assert frame["sex"].tolist() == ["male", "female", "female"]
    assert (frame["sex"].cat.ordered, frame["mood"].cat.ordered) == (False, True)
    assert frame["mood"].cat.categories.tolist() == ["bad", "fair", "good"]
    assert frame["age"].tolist() == [30, 99, 40]
    assert any("column 'age': values are kept" in note for note in notes)


def test_sas_transport(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    table = pd.DataFrame({"A": [1.5, np.nan, -2.0], "B": ["x", "y z", "w"]})
    pyreadstat.write_xport(table, tmp_path / "x.xpt", file_format_version=5)
    frame, _ = read_frame(tmp_path / "x.xpt")
    np.testing.assert_array_equal(frame["A"], table["A"])
    assert frame["B"].tolist() == [
        "x",
        "y z",
        "w",
    ]  # pandas 3.1.1 alone drops the last row


# Instruments


def test_fits(tmp_path):
    pytest.importorskip("astropy")
    from astropy.io import fits
    from astropy.table import Table

    rows = Table(
        {"mag": [1.5, 2.5], "n": np.array([1, 2], ">i4"), "image": np.ones((2, 3))}
    )
    units = [fits.PrimaryHDU(), fits.BinTableHDU(rows, name="STARS")]
    units.append(fits.BinTableHDU(Table({"z": [0.1]}), name="GALAXIES"))
    fits.HDUList(units).writeto(tmp_path / "x.fits")
    frame, notes = read_frame(tmp_path / "x.fits")
    assert frame.to_dict("list") == {"mag": [1.5, 2.5], "n": [1, 2]}
    assert frame["n"].dtype.isnative
    assert any("'STARS' of 'STARS', 'GALAXIES'" in note for note in notes)
    assert any("several numbers: 'image'" in note for note in notes)
    assert read_frame(tmp_path / "x.fits", array="GALAXIES").frame["z"].tolist() == [
        0.1
    ]
    refuses("a table named 'none', got 'STARS'", tmp_path / "x.fits", array="none")
    np.testing.assert_array_equal(load(tmp_path / "x.fits"), [[1.5, 1], [2.5, 2]])
    fits.PrimaryHDU(np.ones((2, 2))).writeto(tmp_path / "image.fits")
    refuses("expected a table, got only images", tmp_path / "image.fits")


def test_fcs(tmp_path):
    flowio = pytest.importorskip("flowio")
    events = np.random.default_rng(0).uniform(1, 1000, (50, 3)).astype(np.float32)
    with (tmp_path / "x.fcs").open("wb") as stream:
        flowio.create_fcs(
            stream, events.ravel().tolist(), ["FSC-A", "FL1-A", "Time"], ["", "CD4", ""]
        )
    frame, _ = read_frame(tmp_path / "x.fcs")
    assert frame.columns.tolist() == ["FSC-A", "CD4", "Time"]
    np.testing.assert_array_equal(frame.to_numpy(), events)


@pytest.mark.parametrize("suffix", ["sav", "fits", "fcs"])
def test_optional_packages_are_named(tmp_path, monkeypatch, suffix):
    package = {"sav": "pyreadstat", "fits": "astropy", "fcs": "flowio"}[suffix]
    (tmp_path / f"x.{suffix}").write_bytes(b"nothing")
    loaded = [name for name in sys.modules if name.startswith(f"{package}.")]
    for name in (package, *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    refuses(
        f"expected the package {package}, .* pip install {package}",
        tmp_path / f"x.{suffix}",
    )


@pytest.mark.slow
def test_readers_are_imported_when_they_are_needed():
    code = "import pyro_vae.data.table_files, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"pyarrow.parquet", "openpyxl", "astropy"} & set(done.stdout.split())
