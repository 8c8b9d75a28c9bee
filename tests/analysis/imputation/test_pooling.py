"""Rubin's rules against statsmodels' MICE, numbers by hand, and the coverage of intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyro_vae as pv
from pyro_vae.data.normal_em import fit_normal


def test_two_tables_by_hand():
    """Q̄ = 2, Ū = 1, B = 2, T = 1 + 3/2 · 2 = 4, r = 3, df = (1 + 1/3)² = 16/9."""
    pooled = pv.pool([1.0, 3.0], [1.0, 1.0])
    assert pooled.estimate.tolist() == [2.0]
    assert pooled.within.tolist() == [1.0]
    assert pooled.between.tolist() == [2.0]
    assert pooled.se.tolist() == [2.0]
    assert pooled.variance_share.tolist() == [0.75]
    assert pooled.df[0] == pytest.approx(16 / 9)
    assert pooled.fmi[0] == pytest.approx((3 + 2 / (16 / 9 + 3)) / 4)
    lower, upper = pooled.interval(0.95)
    assert upper[0] == pytest.approx(2 + 2 * stats.t.ppf(0.975, 16 / 9))
    assert lower[0] + upper[0] == pytest.approx(4)


def test_small_samples_have_fewer_degrees_of_freedom():
    """Barnard and Rubin: never more than those of the complete table, and Rubin's for n → ∞."""
    estimates = [[1.0, 5.0], [1.2, 5.0], [0.7, 5.0]]
    variances = np.full((3, 2), 0.5)
    large = pv.pool(estimates, variances)
    assert pv.pool(estimates, variances, df=1e9).df[0] == pytest.approx(
        large.df[0], rel=1e-5
    )
    small = pv.pool(estimates, variances, df=10)
    share = large.variance_share[0]
    observed = 11 / 13 * 10 * (1 - share)
    assert small.df[0] == pytest.approx(1 / (share**2 / 2 + 1 / observed))
    assert large.df[1] == np.inf
    assert small.df[1] == pytest.approx(110 / 13)


def test_equal_tables_are_one_table():
    pooled = pv.pool(np.full((4, 1), 2.0), np.full((4, 1), 9.0))
    assert pooled.se.tolist() == [3.0]
    assert pooled.fmi.tolist() == [0.0]
    _, upper = pooled.interval()
    assert upper[0] == pytest.approx(2 + 3 * stats.norm.ppf(0.975))
    assert pooled.p_value[0] == pytest.approx(2 * stats.norm.sf(2 / 3))


@pytest.mark.slow
def test_a_linear_regression_is_pooled_as_by_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    mice = pytest.importorskip("statsmodels.imputation.mice")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "y"])
    frame["y"] += frame["a"] - 0.5 * frame["b"]
    holes = rng.random((80, 2)) < 0.3
    frame[["a", "b"]] = frame[["a", "b"]].mask(holes)
    model = mice.MICE("y ~ a + b", sm.OLS, mice.MICEData(frame))
    combined = model.fit(n_burnin=3, n_imputations=7)
    fits = model.results_list
    pooled = pv.pool([fit.params for fit in fits], [fit.bse**2 for fit in fits])
    np.testing.assert_allclose(pooled.estimate, combined.params)
    np.testing.assert_allclose(pooled.se, combined.bse)
    np.testing.assert_allclose(pooled.variance_share, combined.frac_miss_info)


@pytest.mark.slow
def test_intervals_of_pooled_means_cover():
    """The mean of a column of which 40 % is missing at random, imputed from its true conditional.

    With known parameters the rules are exact up to the df: about 95 of 100 intervals cover.
    """
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        x = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.7], [0.7, 1.0]], 60)
        missing = rng.random(60) < 1 / (1 + np.exp(-x[:, 0]))
        holes = np.where(np.stack([missing * False, missing], 1), np.nan, x)
        estimates, variances = [], []
        for _ in range(5):
            # a bootstrap of the rows before EM draws the parameters
            fitted = fit_normal(holes[rng.integers(0, 60, 60)], tolerance=1e-3)
            column = fitted.draw(holes, rng)[:, 1]
            estimates.append(column.mean())
            variances.append(column.var(ddof=1) / 60)
        lower, upper = pv.pool(estimates, variances, df=59).interval(0.95)
        covered.append(lower[0] < 0 < upper[0])
    share = np.mean(covered)
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / len(covered))


def test_names_and_the_printed_summary():
    first = pd.Series([1.0, 2.0], index=["slope", "intercept"])
    pooled = pv.pool([first, first + 0.1], [first * 0 + 0.25] * 2)
    assert list(pooled.labels()) == ["slope", "intercept"]
    assert "slope      1.050 ± 0.507" in str(pooled)
    assert pooled.to_dataframe().loc["intercept", "estimate"] == pytest.approx(2.05)
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    assert list(pv.pool(frame, frame).labels()) == ["a"]


@pytest.mark.parametrize(
    ("estimates", "variances", "options", "message"),
    [
        ([1.0], [1.0], {}, "at least 2"),
        (np.zeros((2, 2)), np.zeros((2, 2, 2)), {}, "pass the diagonal"),
        ([1.0, np.nan], [1.0, 1.0], {}, "leave that table out"),
        ([1.0, 2.0], [1.0, -1.0], {}, "negative"),
        ([1.0, 2.0], [1.0, 1.0], {"df": 0}, "df=0"),
    ],
)
def test_what_it_refuses(estimates, variances, options, message):
    with pytest.raises(ValueError, match=message):
        pv.pool(estimates, variances, **options)


def test_a_level_is_a_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        pv.pool([1.0, 2.0], [1.0, 1.0]).interval(95)
