"""Normal scores against scipy's ranks, their inverse, and a lognormal column's known mean."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from pyro_vae.data.normal_scores import normal_scores


def a_table():
    rng = np.random.default_rng(0)
    x = np.stack(
        [rng.lognormal(size=200), rng.integers(0, 5, 200), rng.normal(size=200)], 1
    )
    return np.where(rng.random(x.shape) < 0.3, np.nan, x)


def test_they_are_the_quantiles_of_the_mean_ranks():
    x = a_table()
    got = normal_scores(x)(x)
    for column, scores in zip(x.T, got.T, strict=True):
        seen = ~np.isnan(column)
        ranks = rankdata(column[seen])
        np.testing.assert_allclose(scores[seen], norm.ppf((ranks - 0.5) / seen.sum()))
        assert np.isnan(scores[~seen]).all()


def test_the_way_back():
    x = a_table()
    scores = normal_scores(x)
    filled = np.where(np.isnan(x), np.nanmedian(x, 0), x)
    np.testing.assert_allclose(scores.inverse(scores(filled)), filled)


def test_any_increasing_map_of_a_column_changes_no_score():
    x = a_table()
    np.testing.assert_allclose(normal_scores(np.exp(x))(np.exp(x)), normal_scores(x)(x))


def test_beyond_the_observed_values_is_the_farthest():
    x = a_table()
    scores = normal_scores(x)
    far = np.full((1, 3), 50.0)
    np.testing.assert_allclose(scores.inverse(far)[0], np.nanmax(x, 0))
    np.testing.assert_allclose(scores.inverse(-far)[0], np.nanmin(x, 0))


def test_the_mean_of_a_lognormal_column():
    """E[exp(m + s ε)] = exp(m + s²/2), for the exact quantiles of a lognormal distribution."""
    n = 4000
    x = np.exp(norm.ppf((np.arange(n) + 0.5) / n))[:, None]
    centre = np.array([[-0.5], [0.0], [0.7]])
    got = normal_scores(x).mean(centre, np.full_like(centre, 0.4))
    np.testing.assert_allclose(got, np.exp(centre + 0.4**2 / 2), rtol=1e-3)


def test_a_column_without_observed_cells_is_refused():
    with pytest.raises(ValueError, match=r"columns \[1\]; drop them"):
        normal_scores(np.array([[1.0, np.nan]]))
