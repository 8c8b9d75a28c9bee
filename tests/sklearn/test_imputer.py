"""VAEImputer: conditional means beside the exact ones, and tables that keep what was observed."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import pyro_vae as pv
from pyro_vae.sklearn import VAEImputer

QUICK: dict[str, Any] = {
    "latent_dim": 2,
    "hidden_dims": (8,),
    "epochs": 3,
    "num_particles": 300,
    "random_state": 0,
    "device": "cpu",
    "fit_options": {"compile": "off"},
}
LINEAR = {
    **QUICK,
    "hidden_dims": (),
    "epochs": 200,
    "lr": 0.03,
    "validation": None,
    "likelihood": {"kind": "normal", "scale": "learned"},
}
rng = np.random.default_rng(0)
LOADINGS, NOISE = rng.normal(size=(2, 5)), 0.3
WHOLE = rng.normal(size=(300, 2)) @ LOADINGS + NOISE * rng.normal(size=(300, 5))
IS_MISSING = rng.random(WHOLE.shape) < 0.2
IS_MISSING[:, 0] &= ~IS_MISSING[:, 1:].any(1)  # each row has an observed cell
HOLES = np.where(IS_MISSING, np.nan, WHOLE)


def conditional_means() -> np.ndarray:
    """The rows with E[x_missing | x_observed] of the normal that drew them."""
    covariance = LOADINGS.T @ LOADINGS + NOISE**2 * np.eye(5)
    means = HOLES.copy()
    for row, lacking in zip(means, IS_MISSING, strict=True):
        observed = covariance[np.ix_(~lacking, ~lacking)]
        weights = np.linalg.solve(observed, row[~lacking])
        row[lacking] = covariance[np.ix_(lacking, ~lacking)] @ weights
    return means


@pytest.mark.slow
def test_means_are_nearer_to_the_exact_ones_than_those_of_the_iterative_imputer() -> (
    None
):
    exact = conditional_means()

    def distance(found: np.ndarray) -> float:
        return float(np.sqrt(np.mean((found - exact)[IS_MISSING] ** 2)))

    made = VAEImputer(**LINEAR).fit_transform(HOLES)
    iterative = IterativeImputer(random_state=0, tol=1e-2, max_iter=30)
    assert distance(made) < distance(iterative.fit_transform(HOLES))


def test_its_cells_are_those_of_impute() -> None:
    holes = HOLES[:90]
    imputer = VAEImputer(**QUICK).fit(holes)
    found = pv.impute(
        imputer.vae_, holes, num_imputations=0, num_particles=300, seed=imputer._seed
    )
    made = imputer.transform(holes)
    np.testing.assert_array_equal(made, found.mean)
    np.testing.assert_array_equal(made[~IS_MISSING[:90]], holes[~IS_MISSING[:90]])
    np.testing.assert_array_equal(imputer.transform(WHOLE), WHOLE)
    drawn = imputer.set_params(sample_posterior=True).transform(holes)
    found = pv.impute(
        imputer.vae_, holes, num_imputations=1, num_particles=300, seed=imputer._seed
    )
    np.testing.assert_array_equal(drawn, found.completed[0])


def test_it_fits_into_a_pipeline() -> None:
    holes, label = HOLES[:90], (WHOLE[:90, 0] > 0).astype(int)
    steps = make_pipeline(VAEImputer(**QUICK), LogisticRegression())
    assert steps.fit(holes, label).score(holes, label) > 0.7


@pytest.mark.filterwarnings("ignore:Skipping features")  # of theirs
@pytest.mark.parametrize("keep", [False, True])
def test_empty_columns_are_treated_as_by_the_iterative_imputer(keep: bool) -> None:
    holes = np.insert(HOLES, 1, np.nan, axis=1)
    ours = VAEImputer(**QUICK, keep_empty_features=keep).fit(holes)
    theirs = IterativeImputer(keep_empty_features=keep, max_iter=1, tol=9.0).fit(holes)
    made = ours.transform(holes)
    assert made.shape == theirs.transform(holes).shape
    assert not np.isnan(made).any()
    if keep:
        np.testing.assert_array_equal(made[:, 1], theirs.transform(holes)[:, 1])
    names = ours.get_feature_names_out().tolist()
    assert names == theirs.get_feature_names_out().tolist()


FRAME = pd.DataFrame(
    {
        "id": [f"row {i}" for i in range(300)],
        "x": HOLES[:, 0],
        "sign": pd.Series(np.where(WHOLE[:, 0] > 0, "up", "down")).mask(
            IS_MISSING[:, 1]
        ),
        "one": np.where(IS_MISSING[:, 2], np.nan, 4.0),
        "none": np.nan,
    }
)


def test_a_mixed_table_keeps_its_columns_types_and_observed_cells() -> None:
    imputer = VAEImputer(**QUICK).fit(FRAME)
    made = imputer.transform(FRAME)
    assert (
        list(made)
        == ["id", "x", "sign", "one"]
        == list(imputer.get_feature_names_out())
    )
    assert not made.isna().any().any()
    for name in made:
        seen = FRAME[name].notna()
        assert made[name].dtype == FRAME[name].dtype
        assert (made[name] == FRAME[name])[seen].all()
    assert (made["one"] == 4).all()
    assert set(made["sign"]) == {"up", "down"}
    again = imputer.transform(made.assign(none=np.nan))
    pd.testing.assert_frame_equal(again, made)
    again.loc[0, "x"] = 77.0
    assert made.loc[0, "x"] != 77
    asked = imputer.set_output(transform="pandas").transform(FRAME)
    pd.testing.assert_frame_equal(asked, made)
    kept = VAEImputer(**QUICK, keep_empty_features=True).fit_transform(FRAME)
    assert list(kept) == list(FRAME)
    assert (kept["none"] == 0).all()


def test_a_table_of_polars_stays_one() -> None:
    frame = pl.from_pandas(FRAME.drop(columns="none"))
    empty = frame.with_columns(none=pl.lit(float("nan")))
    assert VAEImputer(**QUICK).fit_transform(empty).columns == frame.columns
    made = VAEImputer(**QUICK).fit_transform(frame)
    assert made.schema == frame.schema
    assert made.null_count().sum_horizontal().item() == 0


def test_rows_without_any_cell_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^X: expected observed cells .* numbers in so"
    ):
        VAEImputer(**QUICK).fit(np.full((4, 2), np.nan))


def test_too_few_draws_are_refused_before_the_fit() -> None:
    imputer = VAEImputer(**{**QUICK, "num_particles": 10})
    with pytest.raises(ValueError, match=r"^num_particles: .* at least 21, .* got 10"):
        imputer.fit(HOLES)
    assert not hasattr(imputer, "vae_")


def test_nan_of_polars_in_a_column_of_one_value_is_filled() -> None:
    rng = np.random.default_rng(0)
    constant = np.full(60, 7.0)
    constant[::5] = np.nan
    first = rng.normal(size=60)
    first[::4] = np.nan
    rows = pl.DataFrame({"a": first, "b": rng.normal(size=60), "constant": constant})
    filled = VAEImputer(**QUICK).fit(rows).transform(rows)
    assert filled["constant"].to_list() == [7.0] * 60


@pytest.mark.parametrize(
    "named",
    [{"drop": ["empty"]}, {"columns": {"empty": "normal", "a": "normal"}}],
    ids=["drop", "columns"],
)
def test_an_empty_column_may_be_named(named: dict[str, Any]) -> None:
    """As in a fold of a search whose columns are named once for all."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    rows["empty"] = np.nan
    rows.loc[::4, "a"] = np.nan
    imputer = VAEImputer(**QUICK, **named).fit(rows)
    assert not imputer.transform(rows)["a"].isna().any()
