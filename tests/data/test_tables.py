"""Kinds of columns, cells as numbers and back, and rows matched by name."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from pyro_vae.data import Column, Schema, Table, as_rows, table
from pyro_vae.data.matching import matched
from pyro_vae.data.natural_likelihood import natural_likelihood

RNG = np.random.default_rng(0)
ROWS = 300
COUNTS = RNG.negative_binomial(5, 0.1, ROWS)
CASES: dict[str, tuple[Any, str]] = {
    "truth": (RNG.random(ROWS) > 0.5, "bernoulli"),
    "bits": (RNG.integers(0, 2, ROWS), "bernoulli"),
    "bits as floats": (RNG.integers(0, 2, ROWS).astype(float), "bernoulli"),
    "counts": (COUNTS, "negative_binomial"),
    "counts as floats": (COUNTS.astype(float), "negative_binomial"),
    "poisson": (RNG.poisson(9.0, ROWS), "poisson"),
    "years": (RNG.integers(1950, 2020, ROWS), "normal"),
    "grades": (RNG.integers(1, 6, ROWS), "normal"),
    "real": (RNG.normal(size=ROWS), "normal"),
    "negative whole": (RNG.integers(-50, 50, ROWS), "normal"),
    "skewed": (RNG.lognormal(0, 1, ROWS), "log_normal"),
    "positive": (RNG.normal(50, 1, ROWS), "normal"),
    "text": (RNG.choice(["a", "b", "c"], ROWS), "categorical"),
    "free text": ([f"line {i * 2 // 3}" for i in range(ROWS)], "left_out"),
    "labels": ([f"row {i}" for i in range(ROWS)], "label"),
    "one to n": (np.arange(1, ROWS + 1), "label"),
    "from zero": (np.arange(ROWS), "label"),
    "customer_id": (RNG.integers(0, 50, ROWS), "left_out"),
    "Unnamed: 0": (RNG.permutation(ROWS) + 1000, "label"),
    "constant": (np.full(ROWS, 7), "constant"),
    "days": (pd.Timestamp("2020-01-01") + pd.to_timedelta(COUNTS, unit="D"), "normal"),
    "spans": (pd.to_timedelta(COUNTS, unit="h"), "normal"),
    "ordered": (
        pd.Categorical(RNG.choice(["S", "M"], ROWS), ["S", "M"], ordered=True),
        "ordinal",
    ),
    "unordered": (pd.Categorical(RNG.choice(["S", "M"], ROWS)), "categorical"),
    "nullable": (pd.array(COUNTS, dtype="Int64"), "negative_binomial"),
}


def one_column(name: str) -> pd.DataFrame:
    return pd.DataFrame({name: CASES[name][0], "beside": RNG.normal(size=ROWS)})


@pytest.mark.parametrize("name", CASES)
def test_the_kind_of_a_column(name: str) -> None:
    made = table(one_column(name))
    kinds = {column.name: column.kind for column in made.schema.columns}
    assert kinds == {name: CASES[name][1], "beside": "normal"}


@pytest.mark.parametrize(
    "name", [name for name, (_, kind) in CASES.items() if kind != "left_out"]
)
def test_cells_come_back_with_their_dtypes(name: str) -> None:
    frame = one_column(name)
    back = table(frame).to_dataframe()
    if CASES[name][1] == "label":
        assert back.index.tolist() == frame[name].tolist()
        assert back.index.name == name
        return
    assert back[name].dtype == frame[name].dtype
    if frame[name].dtype == np.float64:
        np.testing.assert_allclose(back[name], frame[name], rtol=1e-6)
    else:
        pd.testing.assert_series_equal(back[name], frame[name])


def test_julian_dates_keep_their_values() -> None:
    days = 2459000.5 + np.arange(200) * 0.001
    made = table(pd.DataFrame({"jd": days, "x": RNG.normal(size=200)}))
    assert len(np.unique(days.astype(np.float32))) == 2  # what float32 would leave
    assert len(np.unique(made.values[:, 0])) == 200
    np.testing.assert_allclose(made.to_dataframe()["jd"], days, rtol=0, atol=1e-8)


def test_large_whole_numbers_are_exact() -> None:
    counts = 2**24 + RNG.integers(0, 1000, 50)
    made = table(pd.DataFrame({"n": counts}), columns={"n": "poisson"})
    assert made.values.dtype == np.float64
    assert (made.values[:, 0] == counts).all()


def test_real_numbers_take_half_the_memory() -> None:
    made = table(pd.DataFrame({"x": RNG.normal(size=50)}))
    assert made.values.dtype == np.float32


def test_one_kind_is_that_likelihood_and_several_are_groups() -> None:
    iris = load_iris(as_frame=True).data
    assert table(iris).schema.likelihood == {"kind": "normal"}
    frame = pd.DataFrame(
        {"a": CASES["real"][0], "b": CASES["truth"][0], "c": CASES["positive"][0]}
    )
    columns = [
        {"columns": [0, 2], "kind": "normal"},
        {"columns": [1], "kind": "bernoulli"},
    ]
    assert table(frame).schema.likelihood == {"kind": "mixed", "columns": columns}


def test_kinds_are_edited_by_name() -> None:
    frame = pd.DataFrame({"cyl": [4, 6, 8, 4, 6], "x": [0.5, 1.5, 2.0, 0.1, 3.0]})
    made = table(frame, columns={"cyl": "categorical"})
    assert made.schema.columns[0].levels == (4, 6, 8)
    assert made.values[:, 0].tolist() == [0, 1, 2, 0, 1]
    assert made.schema.likelihood["columns"][0] == {
        "columns": [0],
        "kind": "categorical",
        "num_classes": 3,
    }
    assert made.to_dataframe()["cyl"].tolist() == [4, 6, 8, 4, 6]
    options = {"cyl": {"kind": "binomial", "total_count": 8}}
    groups = table(frame, columns=options).schema.likelihood["columns"]
    assert groups[0] == {"columns": [0], "kind": "binomial", "total_count": 8}


def test_columns_are_chosen_dropped_and_made_labels() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [0.5, 3.0], "code": ["x", "y"]})
    assert table(frame, columns=["b"]).names == ("b",)
    assert table(frame, drop=["a"]).names == ("b",)
    assert table(frame, index="a").labels == (1.5, 2.5)
    assert table(frame.set_index("code")).labels == ("x", "y")


def test_a_wide_table_of_numbers_is_one_kind() -> None:
    pixels = pd.DataFrame(
        RNG.integers(0, 17, (40, 64)), columns=[f"p{i}" for i in range(64)]
    )
    pixels["p0"] = 0  # a corner that is always black
    made = table(pixels)
    assert made.schema.likelihood == {"kind": "negative_binomial"}
    assert made.shape == (40, 64)


TRAINED = pd.DataFrame(
    {
        "site": [f"s{i}" for i in range(6)],
        "x": [0.5, 1.5, -2.0, 4.0, 0.0, 9.5],
        "kind": ["a", "b", "a", "c", "b", "a"],
    }
)


def test_rows_are_matched_by_name() -> None:
    made = table(TRAINED)
    other = TRAINED[["kind", "x", "site"]].assign(note="new")
    again = matched(other, made.schema)
    np.testing.assert_array_equal(again.values, made.values)
    assert again.labels == made.labels
    assert again.notes == ("x: left out the columns 'note', not in the model",)


FAULTS = {
    "absent": (TRAINED.drop(columns="x"), "without 'x'"),
    "nearly": (
        TRAINED.rename(columns={"kind": "kinds"}),
        "rename 'kinds' to 'kind'",
    ),
    "unseen": (TRAINED.assign(kind="z"), "expected the levels 'a', 'b', 'c', got 'z'"),
    "text": (TRAINED.assign(x="much"), "column 'x': expected numbers"),
    "empty": (TRAINED.iloc[:0], "at least one row"),
    "mixture": (
        TRAINED.assign(x=pd.Series([1, "b", 2, 3, 4, 5], dtype=object)),
        "got 1 in row 0 and 'b'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_tables_are_refused(fault: str) -> None:
    frame, words = FAULTS[fault]
    with pytest.raises(ValueError, match=words):
        matched(frame, table(TRAINED).schema)


WRONG = {
    "unknown column": ({"columns": ["y"]}, "did you mean 'x'|names of its columns"),
    "unknown kind": (
        {"columns": {"species": "ordinal"}},
        "expected names of its columns",
    ),
    "text as number": ({"columns": {"kind": "normal"}}, "needs numbers, got text"),
    "no order": ({"columns": {"kind": "ordinal"}}, "expected the order of its levels"),
    "nothing left": ({"drop": ["x", "kind"]}, "expected a column to model"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wishes_that_cannot_be_met(wrong: str) -> None:
    options, words = WRONG[wrong]
    with pytest.raises(ValueError, match=words):
        table(TRAINED, **options)


def test_a_column_may_be_called_as_an_attribute_of_other_libraries() -> None:
    frame = pd.DataFrame({"column_names": [1.5, 1.5, 2.5], "x": [0.5, 0.25, 0.0]})
    assert table(frame).names == ("column_names", "x")


def test_names_that_occur_twice_are_refused_with_their_positions() -> None:
    frame = pd.DataFrame(np.zeros((2, 3)), columns=["a", "b", "a"])
    with pytest.raises(ValueError, match=r"'a' at the positions \[0, 2\]"):
        table(frame)


def test_two_thousand_names_are_shortened() -> None:
    names = [f"gene {i}" for i in range(2000)]
    schema = Schema(columns=tuple(Column(name=name, kind="normal") for name in names))
    with pytest.raises(ValueError, match="and 1991 more") as error:
        matched(pd.DataFrame({"gene 0": [1.0]}), schema)
    assert len(str(error.value)) < 500


def test_missing_cells_are_counted_and_refused() -> None:
    frame = TRAINED.assign(x=[0.5, np.nan, 1.0, np.nan, 2.0, 3.0])
    made = table(frame)
    assert made.missing == {"x": 2}
    assert len(made.complete()) == 4
    assert made.complete().labels == ("s0", "s2", "s4", "s5")
    with pytest.raises(ValueError, match=r"2 missing cells in the columns 'x \(2\)'"):
        as_rows(frame, made.shape[1:], schema=made.schema)


def test_missing_text_is_no_level() -> None:
    made = table(TRAINED.assign(kind=["a", None, "a", "c", "b", "a"]))
    assert made.schema.columns[-1].levels == ("a", "b", "c")
    assert np.isnan(made.values[1, 1])


def test_some_rows_keep_their_labels() -> None:
    some = table(TRAINED).take(np.array([3, 0]))
    assert isinstance(some, Table)
    assert some.labels == ("s3", "s0")
    assert some.values[:, 0].tolist() == [4.0, 0.5]


def test_a_kind_for_all_numbers_leaves_categories_alone() -> None:
    made = table(TRAINED, kind={"kind": "student_t", "scale": "decoder"})
    first, second = made.schema.likelihood["columns"]
    assert first == {"columns": [0], "kind": "student_t", "scale": "decoder"}
    assert second["kind"] == "categorical"


def test_binomial_counts_take_their_largest_as_the_total() -> None:
    frame = pd.DataFrame({"a": [3, 16, 2], "b": [1, 0, 9]})
    expected = {"kind": "binomial", "total_count": 16}
    assert table(frame, kind="binomial").schema.likelihood == expected


def test_a_wide_table_is_judged_by_column_as_an_array_is() -> None:
    """Genes with means of their own: pooled, Poisson counts would seem overdispersed."""
    means = np.linspace(5.0, 80.0, 60)
    counts = np.random.default_rng(3).poisson(means, (400, 60))
    genes = pd.DataFrame(counts, columns=[f"g{i}" for i in range(60)])
    assert natural_likelihood(counts).likelihood == "poisson"
    assert table(genes).schema.likelihood == {"kind": "poisson"}


def test_row_numbers_do_not_decide_the_kind_of_a_wide_table() -> None:
    bits = np.random.default_rng(4).integers(0, 2, (300, 60))
    frame = pd.DataFrame(bits, columns=[f"b{i}" for i in range(60)])
    for position in (0, 60):
        numbered = frame.copy()
        numbered.insert(position, "number", np.arange(300))
        made = table(numbered)
        assert made.schema.likelihood == {"kind": "bernoulli"}
        assert made.schema.label == "number"


def test_another_constant_is_said() -> None:
    """A column of one value is no part of log p(x); that new rows differ in it must be known."""
    frame = TRAINED.assign(country="UK")
    schema = table(frame).schema
    assert matched(frame, schema).notes == ()
    (note,) = matched(frame.assign(country="FR"), schema).notes
    assert "'country'" in note
    assert "'UK'" in note
