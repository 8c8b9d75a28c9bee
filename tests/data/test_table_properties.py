"""A table means the same in another order, other types, with another index, in another library."""

from functools import cache
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("hypothesis")
import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from pyro_vae import VAE, evidence, fit, sample
from pyro_vae.data import table

ROWS = 40
ODD = 'wing "span",\n in mm'
"""A name with quotes, a comma, a new line and spaces."""
TIMES = pd.Timestamp("2021-03-01") + pd.to_timedelta(np.arange(ROWS) * 7 % 23, unit="D")


@cache
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "length": rng.normal(5, 1, ROWS).round(1),
            "eggs": rng.negative_binomial(3, 0.1, ROWS),
            "species": rng.choice(["a", "b", "c"], ROWS),
            "seen": rng.random(ROWS) > 0.5,
            "day": TIMES,
            "julian day": 2459000.5 + rng.integers(0, 80, ROWS) / 8,
            "heard at": TIMES.tz_localize("Europe/Oslo") + pd.to_timedelta(7, "h"),
            ODD: rng.integers(100, 300, ROWS),
        }
    )
    assert set(frame["species"]) == {"a", "b", "c"}
    return frame


@cache
def model() -> VAE:
    vae = VAE.from_data(data(), latent_dim=2, hidden_dims=(8,))
    fit(vae, data(), epochs=2, validation=None, progress=False)
    return vae


@cache
def expected() -> np.ndarray:
    return evidence(model(), data(), num_particles=20, progress=False).log_marginal


DTYPES = {
    "length": ["float64", "Float64", object],
    "eggs": ["int64", "int16", "float64", "Int32", "category"],
    "species": ["str", "category", object],
    "seen": ["bool", "int8", "float64", "boolean"],
    "day": ["datetime64[ns]", "datetime64[s]"],
    "julian day": ["float64", "Float64"],
    "heard at": ["datetime64[ns, Europe/Oslo]", "datetime64[us, UTC]"],
    ODD: ["int64", "uint16", "Int64", "UInt16", "float32"],
}


@st.composite
def variants(draw: st.DrawFn) -> Any:
    """The same rows, written otherwise."""
    frame = data()[list(draw(st.permutations(list(data().columns))))]
    for name, dtypes in DTYPES.items():
        frame = frame.assign(
            **{name: frame[name].astype(draw(st.sampled_from(dtypes)))}
        )
    index = draw(st.sampled_from(["range", "text", "tens"]))
    if index == "text":
        frame = frame.set_index(pd.Index([f"r{i}" for i in range(ROWS)]))
    if index == "tens":
        frame = frame.set_index(pd.Index(range(0, 10 * ROWS, 10)))
    if any(frame[name].dtype == object for name in frame):
        return frame
    library = draw(st.sampled_from(["pandas", "polars", "pyarrow"]))
    if library == "pandas":
        return frame
    pytest.importorskip(library)
    if frame["eggs"].dtype == "category":
        frame = frame.assign(eggs=frame["eggs"].astype("int64"))
    whole = nw.from_native(frame.reset_index(drop=True))
    if library == "pyarrow":
        return whole.to_arrow()
    levels = draw(st.permutations(["a", "b", "c", "never"]))
    as_enum = draw(st.booleans())
    given = whole.to_polars()
    return as_polars_enum(given, levels) if as_enum else given


def as_polars_enum(frame: Any, levels: Any) -> Any:
    """The species as an Enum of polars, whose levels stand in another order."""
    import polars as pl

    species = pl.col("species").cast(pl.String).cast(pl.Enum(list(levels)))
    return frame.with_columns(species)


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(variants())
def test_the_same_values_have_the_same_log_density(frame: Any) -> None:
    got = evidence(model(), frame, num_particles=20, progress=False).log_marginal
    np.testing.assert_array_equal(got, expected())


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_samples_can_be_fitted_and_keep_dtypes_and_levels(library: str) -> None:
    pytest.importorskip(library)
    frame = nw.from_native(data())
    if library != "pandas":
        frame = frame.to_polars() if library == "polars" else frame.to_arrow()
        frame = nw.from_native(frame)
    frame = frame.to_native()
    vae = VAE.from_data(frame, latent_dim=1, hidden_dims=(8,))
    fit(vae, frame, epochs=1, validation=None, progress=False)
    drawn = sample(vae, 30)
    assert nw.from_native(drawn).schema == nw.from_native(frame).schema
    fit(vae, drawn, epochs=1, validation=None, progress=False)
    again = sample(vae, 30)
    assert nw.from_native(again).schema == nw.from_native(frame).schema
    levels = set(nw.from_native(again)["species"].to_list())
    assert levels <= {"a", "b", "c"}
    assert min(nw.from_native(again)["eggs"].to_list()) >= 0


def _codes(dtype: str) -> pd.Series:
    return pd.Series(np.random.default_rng(5).integers(0, 30, ROWS)).astype(dtype)


def _ordered() -> pd.Series:
    levels = ["S", "M", "L", "XL"]
    cells = np.random.default_rng(5).choice(levels[:3], ROWS)
    return pd.Series(pd.Categorical(cells, levels, ordered=True))


def _texts(dtype: str) -> pd.Series:
    cells = np.random.default_rng(5).choice(["a", "b c", 'd"e'], ROWS)
    return pd.Series(cells).astype(dtype)


def _times(dtype: str) -> pd.Series:
    zone = dtype.partition(", ")[2].rstrip("]")
    times = pd.Series(TIMES)
    return (times.dt.tz_localize(zone) if zone else times).astype(dtype)


WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
COLUMNS: dict[str, Any] = {
    **{dtype: lambda dtype=dtype: _codes(dtype) for dtype in WHOLE},
    **{
        dtype: lambda dtype=dtype: _codes(dtype)
        for dtype in ("Int64", "UInt8", "Int16")
    },
    **{
        dtype: lambda dtype=dtype: _codes(dtype) / 7 for dtype in ("float32", "Float32")
    },
    "float16": lambda: (_codes("float32") / 8).astype("float16"),
    "bool": lambda: _codes("int64") > 12,
    "boolean": lambda: (_codes("int64") > 12).astype("boolean"),
    "ordered category": _ordered,
    "category of numbers": lambda: (_codes("int64") % 3).astype("category"),
    "category of truth values": lambda: (_codes("int64") > 12).astype("category"),
    **{
        dtype: lambda dtype=dtype: _texts(dtype)
        for dtype in ("str", "string", "object")
    },
    "string[pyarrow]": lambda: _texts("string[pyarrow]"),
    **{
        dtype: lambda dtype=dtype: _times(dtype)
        for dtype in (
            "datetime64[ns]",
            "datetime64[s]",
            "datetime64[ns, Europe/Oslo]",
            "datetime64[us, UTC]",
        )
    },
    **{
        f"timedelta64[{unit}]": lambda unit=unit: pd.Series(
            pd.to_timedelta(_codes("int64"), unit="h")
        ).astype(f"timedelta64[{unit}]")
        for unit in ("ns", "s")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COLUMNS)
def test_a_sample_of_a_sample_has_the_dtype(name: str) -> None:
    if "pyarrow" in name:
        pytest.importorskip("pyarrow")
    column = COLUMNS[name]()
    frame = pd.DataFrame({"it": column, "beside": data()["length"]})
    for _ in range(2):
        vae = VAE.from_data(frame, latent_dim=1, hidden_dims=(4,))
        fit(vae, frame, epochs=1, validation=None, progress=False)
        frame = sample(vae, ROWS)
        assert list(frame) == ["it", "beside"]
        assert frame["it"].dtype == column.dtype
        if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == "str":
            assert set(frame["it"]) <= set(column)


PYARROW = {
    "int8[pyarrow]": lambda: _codes("int8[pyarrow]"),
    "uint64[pyarrow]": lambda: _codes("uint64[pyarrow]"),
    "float[pyarrow]": lambda: (_codes("float64") / 7).astype("float[pyarrow]"),
    "bool[pyarrow]": lambda: (_codes("int64") > 12).astype("bool[pyarrow]"),
    "timestamp[ns][pyarrow]": lambda: _times("datetime64[ns]"),
    "timestamp[us, tz=Europe/Oslo][pyarrow]": lambda: _times(
        "datetime64[us, Europe/Oslo]"
    ),
    "date32[day][pyarrow]": lambda: _times("datetime64[ns]"),
    "duration[ns][pyarrow]": lambda: pd.Series(
        pd.to_timedelta(_codes("int64"), unit="h")
    ),
}


@pytest.mark.parametrize("dtype", PYARROW)
def test_types_of_pyarrow_in_pandas_come_back(dtype: str) -> None:
    """As `pd.read_parquet(..., dtype_backend="pyarrow")` gives them."""
    pytest.importorskip("pyarrow")
    column = PYARROW[dtype]().astype(dtype)
    frame = pd.DataFrame({"it": column, "beside": data()["length"]})
    back = table(frame).to_dataframe()
    assert back["it"].dtype == column.dtype
    np.testing.assert_allclose(_instants(back["it"]), _instants(column), rtol=1e-6)


def _instants(column: pd.Series) -> np.ndarray:
    """Numbers as they are, and times in seconds."""
    kind = str(column.dtype)
    if "timestamp" in kind or "date" in kind:
        column = column.astype("timestamp[us, tz=UTC][pyarrow]").astype(
            "int64[pyarrow]"
        )
        return column.to_numpy(dtype=np.float64) / 1e6
    if "duration" in kind:
        return column.dt.total_seconds().to_numpy(dtype=np.float64)
    return column.to_numpy(dtype=np.float64)


def test_text_of_pyarrow_in_pandas_comes_back() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    column = _texts("object").astype(pd.ArrowDtype(pyarrow.string()))
    frame = pd.DataFrame({"it": column, "beside": data()["length"]})
    pd.testing.assert_series_equal(
        table(frame).to_dataframe()["it"], column.rename("it")
    )


POLARS = {
    "Enum": lambda pl, x: x.cast(pl.String).cast(pl.Enum([str(i) for i in range(31)])),
    "Categorical": lambda pl, x: x.cast(pl.String).cast(pl.Categorical),
    "Date": lambda pl, x: x.cast(pl.Int32).cast(pl.Date),
    "Datetime": lambda pl, x: (x * 86_400_000).cast(pl.Datetime("ms")),
    "with zone": lambda pl, x: (x * 3600 * 10**9).cast(pl.Datetime("ns", "Asia/Tokyo")),
    "Duration": lambda pl, x: (x * 3600 * 10**6).cast(pl.Duration("us")),
    "UInt64": lambda pl, x: x.cast(pl.UInt64),
    "Float32": lambda pl, x: x.cast(pl.Float32),
    "Boolean": lambda pl, x: x > 12,
}


@pytest.mark.parametrize("name", POLARS)
def test_types_of_polars_come_back(name: str) -> None:
    pl = pytest.importorskip("polars")
    column = POLARS[name](pl, pl.Series("it", _codes("int64").to_numpy()))
    frame = pl.DataFrame({"it": column, "beside": data()["length"].to_numpy()})
    back = table(frame).to_dataframe()
    assert back.schema["it"] == frame.schema["it"]
    assert back["it"].to_list() == column.to_list()


def test_digits_after_the_point_of_a_decimal_are_kept() -> None:
    """A column of Decimal comes back as floats, since narwhals would round it."""
    pl = pytest.importorskip("polars")
    cells = pl.Series("it", [0.25, 1.5, -2.75] * 9).cast(pl.Decimal(10, 2))
    back = table(pl.DataFrame({"it": cells})).to_dataframe()
    assert back["it"].to_list() == [0.25, 1.5, -2.75] * 9


PLAIN = {
    "Sparse[float64]": (
        lambda: pd.arrays.SparseArray(_codes("float64") / 7),
        "float64",
    ),
    "Sparse[int64]": (lambda: pd.arrays.SparseArray(_codes("int64")), "int64"),
    "object of int": (lambda: _codes("int64").astype(object), "Int64"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_unusual_types_come_back_as_plain_ones(name: str) -> None:
    make, dtype = PLAIN[name]
    frame = pd.DataFrame({"it": make(), "beside": data()["length"]})
    back = table(frame).to_dataframe()
    assert back["it"].dtype == dtype
    np.testing.assert_allclose(
        back["it"].to_numpy(dtype=float), frame["it"].to_numpy(dtype=float), rtol=1e-6
    )


def test_periods_are_times() -> None:
    months = pd.Series(pd.period_range("2020-01", periods=ROWS, freq="M"))
    made = table(pd.DataFrame({"it": months, "beside": data()["length"]}))
    assert made.kinds == {"it": "normal", "beside": "normal"}
    back = made.to_dataframe()["it"]
    assert (back.dt.to_period("M") == months).all()


def test_cells_without_a_number_are_refused_with_their_type() -> None:
    frame = pd.DataFrame({"it": [b"a", b"b"] * 20, "beside": data()["length"]})
    with pytest.raises(ValueError, match=r"column 'it': expected numbers, .*got bytes"):
        table(frame)
