"""Columns of rare types either work, and come back as they came, or are refused with a remedy."""

import datetime
import decimal
import fractions
from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

ROWS = 30
X = np.random.default_rng(0).normal(size=ROWS)
COUNTS = np.random.default_rng(1).integers(0, 30, ROWS)
TEXT = ["a", "b", "a"] * 10
DATES = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(n)) for n in COUNTS]
OLD = [datetime.date(1500, 1, 1) + datetime.timedelta(days=int(n)) for n in COUNTS]
SPANS = [datetime.timedelta(hours=int(n)) for n in COUNTS]
MARKET = pd.to_datetime(pd.Series(DATES)).dt.tz_localize("America/New_York")
BERLIN = pd.Series(
    pd.date_range("2020-10-24", periods=ROWS, freq="h", tz="Europe/Berlin")
)


def arrow(cells: Any, dtype: Any) -> pd.Series:
    return pd.Series(cells, dtype=pd.ArrowDtype(dtype))


ROUND_TRIPS: dict[str, Any] = {
    "truth values": pd.Series([True, False] * 15),
    "truth values, some missing": pd.array([True, False, None] * 10, dtype="boolean"),
    "counts, some missing": pd.array([None, *COUNTS[1:]], dtype="Int64"),
    "text, some missing": pd.Series(["a", None, "b"] * 10, dtype="str"),
    "categories, some missing": pd.Categorical(["a", None, "b"] * 10),
    "ordered, some missing": pd.Categorical(["a", None, "b"] * 10, ordered=True),
    "unused levels": pd.Categorical(TEXT, categories=["z", "b", "a"]),
    "ordered numbers": pd.Categorical(
        COUNTS % 4, categories=[3, 1, 2, 0], ordered=True
    ),
    "levels 1 and '1'": pd.Categorical([1, "1"] * 15),
    "times with a zone": BERLIN,
    "times without seconds": pd.date_range("1500-01-01", periods=ROWS, unit="s"),
    "durations": pd.to_timedelta(COUNTS, unit="h"),
    "blank text": ["", " ", "a"] * 10,
    "text of several lines": ["a\nb", "a\tb"] * 15,
    "subnormal": X * 1e-310,
    "units of 1e30": X * 1e30,
    "arrow's truth values": arrow([True, False] * 15, pa.bool_()),
    "arrow's text": arrow(TEXT, pa.large_string()),
    "arrow's times": arrow(pd.Series(DATES), pa.timestamp("s")),
    "arrow's times with a zone": arrow(MARKET, pa.timestamp("us", "America/New_York")),
    "arrow's days": arrow(DATES, pa.date32()),
    "arrow's durations": arrow(SPANS, pa.duration("us")),
    "polars' levels": pl.Series(TEXT, dtype=pl.Enum(["b", "a", "z"])),
    "polars' integers": pl.Series(COUNTS).cast(pl.Int128),
    "polars' old days": pl.Series(OLD),
    "polars' times": pl.Series(DATES).cast(pl.Datetime("ms")),
    "polars' truth values": pl.Series([True, False, None] * 10),
    "pyarrow's times": pa.array(DATES).cast(pa.timestamp("s", "America/New_York")),
    "pyarrow's durations": pa.array(SPANS, pa.duration("s")),
    "pyarrow's days": pa.array(DATES),
}


def frame_of(cells: Any) -> Any:
    if isinstance(cells, pl.Series):
        return pl.DataFrame({"x": X, "y": cells})
    if isinstance(cells, pa.Array):
        return pa.table({"x": X, "y": cells})
    return pd.DataFrame({"x": X, "y": cells})


def cells_of(frame: Any) -> list[Any]:
    cells = nw.from_native(frame, eager_only=True)["y"].to_list()
    return [None if pd.isna(cell) else cell for cell in cells]


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_cells_come_back_as_they_came(name: str) -> None:
    frame = frame_of(ROUND_TRIPS[name])
    made = pv.data.table(frame)
    assert "y" in made.names
    back = made.to_dataframe()
    assert nw.from_native(back).schema == nw.from_native(frame).schema
    before, after = cells_of(frame), cells_of(back)
    if isinstance(before[0], float):
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=0)
    else:
        assert after == before


def test_a_table_of_all_of_them_is_fitted_and_sampled() -> None:
    columns = {
        name: cells
        for name, cells in ROUND_TRIPS.items()
        if not isinstance(cells, pl.Series | pa.Array)
        and "missing" not in name
        and name != "subnormal"
    }
    frame = pd.DataFrame(columns)
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    pv.fit(vae, frame, epochs=1, validation=None, progress=False)
    found = pv.evidence(vae, frame, num_particles=20, progress=False)
    assert np.isfinite(found.log_marginal).all()
    drawn = pv.sample(vae, 5)
    assert drawn.dtypes.to_dict() == frame.dtypes.to_dict()


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_times_without_fractions_are_sampled(library: str) -> None:
    wanted = f"{library}'"
    columns = {
        name: cells
        for name, cells in ROUND_TRIPS.items()
        if name.startswith(wanted) and "truth" not in name
    }
    frame = pl.DataFrame(columns) if library == "polars" else pa.table(columns)
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    drawn = pv.sample(vae, 5)
    assert nw.from_native(drawn).schema == nw.from_native(frame).schema


CHANGED: dict[str, tuple[Any, str, str]] = {
    "truth values": (pd.Series([True, None] * 15, dtype=object), "constant", "boolean"),
    "decimals": ([decimal.Decimal(int(n)) / 10 for n in COUNTS], "normal", "float64"),
    "fractions": (
        [fractions.Fraction(int(n) - 9, 7) for n in COUNTS],
        "normal",
        "float64",
    ),
    "durations": (pd.Series(SPANS, dtype=object), "normal", "timedelta64[us]"),
    "sparse": (
        pd.arrays.SparseArray(np.where(X > 0, X, 0.0)),
        "normal",
        "float64",
    ),
    "big-endian": (X.astype(">f8"), "normal", "float64"),
    "long doubles": (X.astype(np.longdouble), "normal", "float64"),
    "intervals": (pd.cut(X, 4), "ordinal", "category"),
    "no cells": (pd.Series([None] * ROWS, dtype=object), "left_out", ""),
    "arrow without cells": (arrow([None] * ROWS, pa.null()), "left_out", ""),
    "polars without cells": (pl.Series([None] * ROWS), "left_out", ""),
    "arrow's days": (pa.array(DATES).cast(pa.date64()), "normal", "Date"),
    "arrow's levels": (
        arrow(TEXT, pa.dictionary(pa.int8(), pa.string())),
        "categorical",
        "",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_columns_that_become_others(name: str) -> None:
    cells, kind, dtype = CHANGED[name]
    column = pv.data.table(frame_of(cells)).schema.columns[1]
    assert column.name == "y"
    assert column.kind == kind
    assert column.dtype == dtype or not dtype


def test_times_of_different_zones_are_in_utc() -> None:
    zones = [datetime.timezone(datetime.timedelta(hours=n % 2)) for n in range(ROWS)]
    times = [datetime.datetime(2020, 1, 1, tzinfo=zone) for zone in zones]
    made = pv.data.table(frame_of(pd.Series(times, dtype=object)))
    got = made.to_dataframe()["y"].tolist()
    assert got == times


@pytest.mark.parametrize("offset", [2**60, 2**63])
def test_whole_numbers_that_float64_merges_are_not_called_constant(offset: int) -> None:
    cells = pd.Series([offset + int(n) for n in COUNTS])
    made = pv.data.table(frame_of(cells))
    column, reason = made.schema.columns[1], made.reasons[1]
    assert column.kind == "left_out"
    assert "2^53" in reason.why


def test_large_identifiers_are_labels() -> None:
    """Such as those of posts, which float64 doesn't tell apart."""
    ids = [1_200_000_000_000_000_000 + n for n in range(ROWS)]
    made = pv.data.table(pd.DataFrame({"post_id": ids, "x": X}))
    assert made.labels == tuple(ids)


def test_a_nearly_constant_column_is_not_log_normal() -> None:
    cells = np.full(ROWS, 1e9)
    cells[0] += 1e-6
    assert pv.data.table(frame_of(cells)).kinds["y"] == "normal"


Y = "y"
REFUSED: dict[str, tuple[Any, str, Callable[[Any], Any] | None]] = {
    "text and numbers": (
        pd.Series([1, "a", None] * 10, dtype=object),
        "got 1 in row 0 and 'a' (str) in row 1; make text of it, frame['y'].astype(str)",
        lambda y: y.astype(str),
    ),
    "missing first": (
        pd.Series([np.nan, 1, "a"] * 10, dtype=object),
        "got 1 in row 1 and 'a' (str) in row 2",
        lambda y: y.astype(str),
    ),
    "lists": ([[1, 2]] * ROWS, "got list such as [1, 2]; make a column of each", None),
    "records": ([{"a": 1}] * ROWS, "got dict such as {'a': 1}; make a column", None),
    "arrow's lists": (arrow([[1]] * ROWS, pa.list_(pa.int64())), "got list<", None),
    "polars' lists": (pl.Series([[1]] * ROWS), "got List(Int64); make a column", None),
    "bytes": ([b"a", b"b"] * 15, "decode it to text", lambda y: y.str.decode("utf-8")),
    "complex": (X * 1j, "complex128; make columns of the real", lambda y: y.map(abs)),
    "hours": (
        [datetime.time(int(n) % 24) for n in COUNTS],
        "make hours of it",
        lambda y: y.map(lambda time: time.hour),
    ),
    "intervals": (
        pd.interval_range(0, ROWS),
        "frame['y'].astype(str)",
        lambda y: y.astype(str),
    ),
    "numbers beyond 1e308": (
        pd.Series([10**400 + int(n) for n in COUNTS], dtype=object),
        "make text of it",
        lambda y: y.astype(str),
    ),
    "whole numbers of 30 digits": (
        pd.Series([10**30 + int(n) for n in COUNTS], dtype=object),
        "make text of it",
        lambda y: y.astype(str),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_column_and_a_remedy_that_works(name: str) -> None:
    cells, words, remedy = REFUSED[name]
    frame = frame_of(cells)
    with pytest.raises(ValueError, match="column 'y'") as caught:
        pv.data.table(frame)
    message = str(caught.value)
    assert message.startswith("x: column 'y': expected ")
    assert words in message
    assert "\n" not in message
    assert message.endswith("drop=['y']")
    assert pv.data.table(frame, drop=["y"]).names == ("x",)
    if remedy is not None:
        pv.data.table(frame.assign(y=remedy(frame["y"])))


NO_TABLES: dict[str, tuple[Any, str]] = {
    "array": (X.reshape(-1, 1), "got ndarray; make one of it, such as pandas.Data"),
    "dict": ({"x": X}, "got dict; make one of it"),
    "series": (pd.Series(X), "got Series; make one of it"),
    "path": ("rows.csv", "read a file with pyro_vae.data.read(path)"),
    "batch": (pa.record_batch({"x": X}), "take x.to_pandas()"),
    "no columns": (pd.DataFrame(index=range(3)), "got a table without any"),
    "no rows": (pd.DataFrame({"x": X[:0]}), "got a table of none"),
    "1 and '1'": (
        pd.DataFrame(np.zeros((3, 2)), columns=[1, "1"]),
        "got '1' at the positions [0, 1]",
    ),
    "names twice": (
        pa.Table.from_arrays([pa.array(X), pa.array(X)], names=["a", "a"]),
        "got 'a' at the positions [0, 1]",
    ),
    "names of two levels": (
        pd.DataFrame([[1.5, 2.5]], columns=pd.MultiIndex.from_product([["a"], [1, 2]])),
        "got tuples such as (a, 1); join them",
    ),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table(name: str) -> None:
    x, words = NO_TABLES[name]
    with pytest.raises(ValueError, match=r"^x: ") as caught:
        pv.data.table(x)
    assert words in str(caught.value)


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [1.5] * 4, ["u", "v", "w", "z"]])
def test_a_table_without_a_column_to_model_says_what_to_write(
    values: list[Any],
) -> None:
    frame = pd.DataFrame({"y": values})
    with pytest.raises(ValueError, match="say the kind of one") as caught:
        pv.data.table(frame)
    kind = str(caught.value).split('"')[-2]
    assert pv.data.table(frame, columns={"y": kind}).kinds == {"y": kind}


@pytest.mark.parametrize("value", [np.inf, 1e300])
def test_numbers_that_are_not_finite_name_their_column(value: float) -> None:
    y = X.copy()
    y[3] = value
    frame = frame_of(y)
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    with pytest.raises(
        ValueError, match=r"column 'y'.*got inf in row 3.*3\.4e\+38"
    ) as caught:
        pv.fit(vae, frame, epochs=1, progress=False)
    assert "drop such rows, or change the unit" in str(caught.value)


def test_numbers_that_float32_takes_for_zero_name_their_column() -> None:
    frame = frame_of(X * 1e-100)
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    with pytest.raises(ValueError, match=r"column .y. has no number above.*change the"):
        pv.fit(vae, frame, epochs=1, progress=False)
    frame = frame.assign(y=frame["y"] * 1e100)  # another unit
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    pv.fit(vae, frame, epochs=1, progress=False)


def test_an_index_of_several_levels_labels_the_rows() -> None:
    index = pd.MultiIndex.from_product([range(15), ["left", "right"]])
    frame = frame_of(COUNTS).set_index(index)
    made = pv.data.table(frame)
    assert made.to_dataframe().index.tolist() == index.tolist()
    vae = pv.VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
    pv.fit(vae, frame, epochs=1, validation=None, progress=False)
    found = pv.evidence(vae, frame, num_particles=20, progress=False).to_dataframe()
    assert found.index.tolist() == index.tolist()
