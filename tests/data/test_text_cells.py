"""Cells of text files as a careful scientist reads them, each change with a note."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyro_vae.data import read
from pyro_vae.data.stored import Fault
from pyro_vae.data.table_files import read_frame

COUNT = 24
X = [0.5 * n for n in range(1, COUNT + 1)]


def written(folder: Path, cells: list[str], delimiter: str = ";") -> Path:
    path = folder / "rows.csv"
    rows = [
        f"{cell}{delimiter}{round(3 * x) % 7}"
        for cell, x in zip(cells, X, strict=False)
    ]
    path.write_text("\n".join([f"a{delimiter}x", *rows]), encoding="utf-8")
    return path


def numbers(form: str) -> list[str]:
    return [form.format(n) for n in range(1, COUNT + 1)]


NUMBERS = {
    "percent": ("{}.5%", 1.5, "numbers without their '%'"),
    "percent and a blank": ("{}.5 %", 1.5, "numbers without their '%'"),
    "dollars": ("${},500.25", 1500.25, "numbers without their '$'"),
    "negative dollars": ("-${}.5", -1.5, "numbers without their '$'"),
    "euros": ("{},5 €", 1.5, "numbers without their '€'"),
    "pounds": ("£{}.5", 1.5, "numbers without their '£'"),
    "a minus of Unicode": ("−{}.5", -1.5, "numbers such as"),
    "blanks in thousands": ("{} 500,5", 1500.5, "groups of thousands"),
    "thin blanks in thousands": ("{}\u202f500.5", 1500.5, "groups of thousands"),
    "apostrophes": ("{}'500.5", 1500.5, "groups of thousands"),
    "Fortran": ("{}.5D+02", 150.0, "numbers such as '1.5D+02'"),
    "a blank that doesn't break": ("{}.5\xa0", 1.5, ""),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_in_other_dress(tmp_path: Path, name: str) -> None:
    form, first, note = NUMBERS[name]
    frame, notes = read_frame(written(tmp_path, numbers(form)))
    assert frame["a"].iloc[0] == first
    assert frame["a"].nunique() == COUNT
    assert any(note in one for one in notes), notes


def test_a_mark_that_only_some_numbers_have_is_refused(tmp_path: Path) -> None:
    cells = numbers("{}.5%")
    path = written(tmp_path, cells * 50)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\n7;1" * 50, encoding="utf-8")
    frame, _ = read_frame(path)
    assert not pd.api.types.is_numeric_dtype(frame["a"].dtype)


@pytest.mark.parametrize("form", ["0{:04d}", "00{}"])
def test_digits_that_a_number_would_lose_stay_text(tmp_path: Path, form: str) -> None:
    cells = numbers(form)
    frame, notes = read_frame(written(tmp_path, cells))
    assert frame["a"].tolist() == cells
    assert any("column 'a': text, because a number loses the zeros" in n for n in notes)
    frame, _ = read_frame(written(tmp_path, cells), dtypes={"a": "float"})
    assert frame["a"].tolist() == [float(cell) for cell in cells]


@pytest.mark.parametrize("form", ["0.{:02d}", "{}", "0", "-{}"])
def test_other_digits_are_numbers(tmp_path: Path, form: str) -> None:
    frame, _ = read_frame(written(tmp_path, numbers(form)))
    assert pd.api.types.is_numeric_dtype(frame["a"].dtype)


def test_codes_with_missing_ones(tmp_path: Path) -> None:
    frame, _ = read_frame(written(tmp_path, ["01234", "", "98765", "NA"] * 6))
    assert frame["a"].isna().sum() == 12
    assert frame["a"].iloc[0] == "01234"


FIRST = np.datetime64("2020-01-01")
TIMES = {
    "month first": ("01/{:02d}/2020", "times, the month first"),
    "day first": ("{:02d}/01/2020", "times, the day first"),
    "points": ("{:02d}.01.2020", "times, the day first"),
    "with a clock": ("{:02d}.01.2020 00:00", "times, the day first"),
    "short months": ("{} Jan 2020", "times"),
    "American": ("Jan {}, 2020", "times"),
    "long months": ("{} January 2020", "times"),
    "dashes": ("{:02d}-Jan-2020", "times"),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_whose_order_is_clear(tmp_path: Path, name: str) -> None:
    form, note = TIMES[name]
    frame, notes = read_frame(written(tmp_path, numbers(form)))
    days = (frame["a"].to_numpy() - FIRST) / np.timedelta64(1, "D")
    assert days.tolist() == list(range(COUNT))
    assert f"column 'a': {note}" in notes


def test_months_of_years(tmp_path: Path) -> None:
    cells = [f"{2000 + n // 12}-{n % 12 + 1:02d}" for n in range(COUNT)]
    frame, _ = read_frame(written(tmp_path, cells))
    assert frame["a"].iloc[13] == pd.Timestamp("2001-02-01")


@pytest.mark.parametrize(
    "cells",
    [
        ["01/02/2020", "03/04/2020"] * 12,  # either order
        ["13/02/2020", "03/14/2020"] * 12,  # neither
        ["01/02/20", "03/04/20"] * 12,
        ["2010-11", "2012-13"] * 12,  # seasons
        ["may 3 2020", "the 5 2020"] * 12,
    ],
)
def test_times_that_are_not_clear_stay_text(tmp_path: Path, cells: list[str]) -> None:
    frame, _ = read_frame(written(tmp_path, cells))
    assert frame["a"].tolist() == cells


def test_a_title_above_the_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Birds of the island\n\na,b\n" + "1.5,2.5\n" * 5)
    with pytest.raises(Fault, match="delete the lines above the table"):
        read_frame(path)


def test_the_index_of_pandas_is_the_first_column_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pd.DataFrame({"x": X}).to_csv(path)
    table = read(path)
    assert table.names == ("x",)
    assert table.labels == tuple(range(COUNT))
    assert table.notes == ("the first column has no name, and is called 'column 0'",)
