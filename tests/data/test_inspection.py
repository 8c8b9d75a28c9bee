"""What `pyro-vae inspect` says: short lines, each question once, remedies that work."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyro_vae.data import read, table
from pyro_vae.data.inspection import as_toml, oddities, summary

RNG = np.random.default_rng(0)
ROWS = 100
X = RNG.normal(size=ROWS)


def odd(**columns: object) -> list[str]:
    return oddities(table(pd.DataFrame({"x": X, **columns})))


def cell(column: str, **columns: object) -> str:
    """The values of a column, as the summary has them."""
    lines = summary(table(pd.DataFrame({"x": X, **columns}))).splitlines()
    line = next(line for line in lines if line.startswith(column))
    return line


def test_a_question_is_asked_once_for_all_columns() -> None:
    grades = {f"q{i}": RNG.integers(1, 6, ROWS) for i in range(5)}
    asked = [one for one in odd(**grades) if "ordinal" in one]
    assert len(asked) == 1
    assert asked[0].startswith("'q0', 'q1', 'q2', 'q3', 'q4': few different")


def test_two_whole_numbers_are_no_grades() -> None:
    (asked,) = odd(sex=RNG.integers(1, 3, ROWS))
    assert asked.startswith("'sex': two whole numbers, taken as normal; take \"categ")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [f"{n} words" for n in range(99)] + ["0 words"]}, "left out; take"),
        ({"user_id": [*range(7, 106), 7][::1][:ROWS]}, "give a kind to model it"),
        ({"a": [np.inf, *X[1:]]}, "'a': has infinite numbers"),
        ({"a": [1.5] * ROWS}, "'a': one value in all rows, not modelled"),
    ],
)
def test_what_is_left_out_is_said_once(columns: dict[str, object], words: str) -> None:
    found = [one for one in odd(**columns) if words in one]
    assert len(found) == 1


@pytest.mark.parametrize("kind", ["real", "counts"])
def test_a_code_for_missing_cells_is_found_and_its_remedy_works(
    tmp_path: Path, kind: str
) -> None:
    values = X.round(2) if kind == "real" else RNG.negative_binomial(3, 0.1, ROWS)
    code = -999 if kind == "real" else 999
    frame = pd.DataFrame({"a": values})
    frame.loc[[3, 40], "a"] = code
    frame.to_csv(tmp_path / "x.csv", index=False)
    found = next(one for one in oddities(read(tmp_path / "x.csv")) if "missing" in one)
    assert found.endswith(f"missing=[{code}]")
    again = read(tmp_path / "x.csv", missing=[code])
    assert again.missing == {"a": 2}


def test_a_single_outlier_is_no_code_for_missing_cells() -> None:
    a = X.copy()
    a[5] = 88.0
    (found,) = odd(a=a)
    assert found.endswith("such as 88: check it")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_rows_are_counted(dtype: str) -> None:
    frame = pd.DataFrame({"a": X, "b": RNG.permutation(X)}, dtype=dtype)
    frame.iloc[3] = frame.iloc[70]
    frame.iloc[4] = frame.iloc[70]
    assert "2 of 100 rows are equal to another row" in oddities(table(frame))
    unequal = frame.drop([3, 4])
    assert not oddities(table(unequal))


def test_zeros_of_both_signs_are_equal() -> None:
    frame = pd.DataFrame({"a": np.repeat([0.0, -0.0, 1.5, 2.5], 25)})
    assert "97 of 100 rows are equal to another row" in oddities(table(frame))


def test_years_are_no_counts() -> None:
    made = table(pd.DataFrame({"year": RNG.integers(1700, 2020, ROWS)}))
    assert made.kinds == {"year": "normal"}
    assert "far from 0" in made.reasons[0].why


VALUES = {
    "whole": (RNG.permutation(ROWS) * 1000, "0 to 99000"),
    "fractions": (np.linspace(0.123456, 3, ROWS), "0.1235 to 3"),
    "large": (np.linspace(0.5, 523390.25, ROWS), "0.5 to 523390"),
    "tiny": (np.linspace(1.23456e-9, 3e-9, ROWS), "1.235e-09 to 3e-09"),
    "days": (pd.date_range("2020-01-01", periods=ROWS), "2020-01-01 to 2020-04-09"),
    "hours": (
        pd.date_range("2020-01-01 01:30", periods=ROWS, freq="h"),
        "2020-01-01 01:30 to 2020-01-0…",
    ),
    "minutes": (
        pd.date_range("2020-01-01 01:30:30", periods=ROWS, freq="min"),
        "2020-01-01 01:30 to 2020-01-0…",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_ranges_have_few_digits(name: str) -> None:
    values, written = VALUES[name]
    assert f"  {written} " in cell("a", a=values)


def test_a_wide_table_is_shown_in_a_few_lines() -> None:
    counts = RNG.negative_binomial(2, 0.1, (ROWS, 1000))
    frame = pd.DataFrame(counts, columns=[f"gene {i}" for i in range(1000)])
    made = table(frame)
    lines = summary(made).splitlines()
    assert len(lines) == 6
    assert "997 more columns" in lines[4]
    assert max(map(len, lines)) < 160
    toml = as_toml(made, "genes.csv")
    assert tomllib.loads(toml)["columns"] == {}
    assert "# 1000 other columns: negative_binomial, recognised again" in toml


def test_the_description_keeps_options_and_has_each_key_once() -> None:
    frame = pd.DataFrame(
        {"bird": ["a", "b", "c"], "eggs": [3, 1, 2], "size": [1, 3, 2]}
    )
    wishes = {
        "eggs": {"kind": "binomial", "total_count": 9},
        "size": {"kind": "ordinal", "levels": [1, 2, 3]},
    }
    made = table(frame, columns=wishes, index="bird")
    text = as_toml(made, "x.csv", ["data.index=bird"])
    fields = tomllib.loads(text)
    assert fields["data"] == {"source": "x.csv", "index": "bird"}
    again = table(frame, columns=fields["columns"], index="bird")
    assert again.schema == made.schema
