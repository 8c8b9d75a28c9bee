"""Columns of drawn rows beside those of held-out rows: p-values that are what they should be."""

import numpy as np
import pytest
from scipy import stats

from pyro_vae.analysis.posterior_checks.predictive import (
    column_p_values,
    randomised_pit,
)

RANDOM = np.random.default_rng(3)


def test_the_pit_is_the_distribution_function_where_draws_are_many() -> None:
    draws = RANDOM.gamma(2.0, size=400_000)
    x = np.array([0.3, 1.0, 2.5, 6.0])
    found = randomised_pit(x, draws)
    np.testing.assert_allclose(found, stats.gamma(2.0).cdf(x), atol=0.004)


@pytest.mark.parametrize("distribution", [stats.norm(), stats.poisson(0.7)])
def test_the_pit_of_equal_distributions_is_uniform(distribution: object) -> None:
    own = distribution.rvs(size=4000, random_state=1)  # type: ignore[attr-defined]
    draws = distribution.rvs(size=200_000, random_state=2)  # type: ignore[attr-defined]
    assert stats.kstest(randomised_pit(own, draws), "uniform").pvalue > 0.01


def test_p_values_are_uniform_where_nothing_differs_and_small_where_it_does() -> None:
    n, m, columns = 100, 4000, 150
    rows = np.stack(
        [RANDOM.normal(size=(n, columns)), RANDOM.integers(0, 4, (n, columns))], 2
    )
    draws = np.stack(
        [RANDOM.normal(size=(m, columns)), RANDOM.integers(0, 4, (m, columns))], 2
    )
    p = column_p_values(
        rows.reshape(n, -1), draws.reshape(m, -1), unordered=range(1, 2 * columns, 2)
    )
    for own in (p[::2], p[1::2]):
        assert stats.kstest(own, "uniform").pvalue > 0.01
    shifted = column_p_values(rows.reshape(n, -1) + 1, draws.reshape(m, -1))
    assert (shifted[::2] < 1e-3).all()


def test_the_chi_squared_test_is_that_of_scipy() -> None:
    own = np.repeat([0.0, 1.0, 2.0], [30, 50, 20])
    draws = np.repeat([0.0, 1.0, 2.0], [400, 300, 300])
    counts = [[30, 50, 20], [400, 300, 300]]
    expected = stats.chi2_contingency(counts, correction=False).pvalue
    found = column_p_values(own[:, None], draws[:, None], unordered=[0])
    assert found[0] == pytest.approx(expected)


@pytest.mark.parametrize("size", [40, 50])
def test_levels_of_which_fewer_than_five_rows_are_expected_are_one(size: int) -> None:
    own = np.array(
        [44, 43, 10, 3]
    )  # of 1000 rows in all: 4 or 5 rows are expected of the last two
    both = np.array([520 - size, 480 - size, size, size])
    counts = np.stack([own, both - own])
    merged = np.column_stack([counts[:, :2], counts[:, 2:].sum(1)])
    expected = merged if size < 50 else counts
    p = stats.chi2_contingency(expected, correction=False).pvalue
    rows, draws = (np.repeat(np.arange(4.0), each)[:, None] for each in counts)
    assert column_p_values(rows, draws, unordered=[0])[0] == pytest.approx(p)


def test_columns_that_say_nothing_have_no_p_value() -> None:
    rows = np.array([[np.nan, 0.0], [np.nan, 0.0]])
    p = column_p_values(rows, np.zeros((50, 2)), unordered=[1])
    assert np.isnan(p).all()
