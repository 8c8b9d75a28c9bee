"""A fitted model against the mixed linear model, which has the same likelihood."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from benchmarks.random_effects import by_statsmodels, drawn, fitted, in_units_of_y


def predictor(frame: pd.DataFrame, fit: dict[str, Any]) -> tuple[Any, Any]:
    """The best linear unbiased predictor of u and its errors, with these variances."""
    residual = frame["y"] - fit["fixed"][0] - fit["fixed"][1] * frame["age"]
    each = residual.groupby(frame["batch"])
    precision = 1 / fit["s"] ** 2 + each.size() / fit["variance"]
    mean = each.sum() / fit["variance"] / precision
    return mean.to_numpy(), precision.to_numpy() ** -0.5


@pytest.mark.slow
def test_all_rows_at_once_give_the_estimates_of_statsmodels():
    pytest.importorskip("statsmodels")
    frame, u = drawn()
    theirs = by_statsmodels(frame)
    ours = in_units_of_y(fitted(frame, epochs=3000, batch_size=len(frame)))
    assert np.abs(ours["mean"] - theirs["mean"]).max() < 0.05 * theirs["s"]
    assert np.abs(ours["sd"] / theirs["sd"] - 1).max() < 0.05
    assert ours["s"] == pytest.approx(theirs["s"], rel=0.05)
    assert ours["variance"] == pytest.approx(theirs["variance"], rel=0.02)
    assert np.abs(ours["fixed"] - theirs["fixed"]).max() < 0.05
    # the error of the intercept is common to all levels, and no part of q(u)
    error = ours["mean"] - u
    half = norm.ppf(0.95) * ours["sd"]
    assert (np.abs(error - error.mean()) < half).mean() >= 0.75


@pytest.mark.slow
def test_levels_of_few_rows_shrink_more_also_in_small_batches():
    frame, _ = drawn()
    ours = in_units_of_y(fitted(frame, epochs=400, batch_size=64))
    mean, error = predictor(frame, ours)
    np.testing.assert_allclose(ours["mean"], mean, atol=0.1 * ours["s"])
    np.testing.assert_allclose(ours["sd"], error, rtol=0.15)
    assert ours["sd"][0] > 3 * ours["sd"][-1]
