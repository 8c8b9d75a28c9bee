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

ROWS = 40
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
    return whole.to_polars() if library == "polars" else whole.to_arrow()


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
