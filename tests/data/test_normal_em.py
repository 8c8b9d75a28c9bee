"""The multivariate normal by EM against closed forms, scipy, an optimiser and plain regression."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from pyro_vae.data.normal_em import FittedNormal, fit_normal, padded_inverse


def rows_with_holes(n=60, columns=4, share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(columns, columns))
    x = rng.normal(size=(n, columns)) @ mixing.T + rng.normal(size=columns)
    holes = rng.random(x.shape) < share
    return x, np.where(holes, np.nan, x)


def by_scipy(x, mean, covariance):
    """log p of the observed cells, a row at a time."""
    total = []
    for row in x:
        seen = ~np.isnan(row)
        density = 0.0
        if seen.any():
            normal = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
            density = normal.logpdf(row[seen])
        total.append(density)
    return np.array(total)


def test_without_missing_cells_it_is_the_moments():
    x, _ = rows_with_holes()
    fitted = fit_normal(x)
    np.testing.assert_allclose(fitted.mean, x.mean(0))
    np.testing.assert_allclose(fitted.covariance, np.cov(x.T, ddof=0))
    assert len(fitted.history) <= 3


def test_log_p_of_the_observed_cells_is_that_of_scipy():
    _, x = rows_with_holes()
    x[3] = np.nan
    fitted = fit_normal(x)
    expected = by_scipy(x, fitted.mean, fitted.covariance)
    np.testing.assert_allclose(fitted.log_prob(x), expected, rtol=1e-10)
    assert fitted.log_prob(x)[3] == 0


def test_the_history_rises_and_ends_at_the_log_likelihood():
    _, x = rows_with_holes(share=0.5)
    history = fit_normal(x, tolerance=1e-9).history
    assert (np.diff(history) > -1e-9).all()
    fitted = fit_normal(x, tolerance=1e-9)
    assert history[-1] == pytest.approx(fitted.log_prob(x).sum(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_no_optimiser_finds_a_better_one(ridge):
    """The maximum by BFGS over the mean and the Cholesky factor, in the columns' own units."""
    _, x = rows_with_holes(n=40, columns=3)
    unit = np.nanstd(x, 0)
    below = np.tril_indices(3)

    def loss(numbers):
        factor = np.zeros((3, 3))
        factor[below] = numbers[3:]
        covariance = factor @ factor.T
        own = covariance / np.outer(unit, unit)
        prior = ridge / 2 * (np.linalg.slogdet(own)[1] + np.trace(np.linalg.inv(own)))
        return prior - by_scipy(x, numbers[:3], covariance).sum()

    start = np.concatenate([np.nanmean(x, 0), np.diag(unit)[below]])
    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-6})
    fitted = fit_normal(x, ridge=ridge, tolerance=1e-12)
    assert -fitted.history[-1] == pytest.approx(found.fun, abs=1e-5)
    factor = np.zeros((3, 3))
    factor[below] = found.x[3:]
    np.testing.assert_allclose(fitted.mean, found.x[:3], atol=1e-3)
    np.testing.assert_allclose(
        fitted.covariance, factor @ factor.T, rtol=1e-2, atol=1e-3
    )


def test_one_column_that_is_missing_in_a_monotone_pattern_has_a_closed_form():
    """Anderson (1957): the regression on the complete rows, at the mean of all rows."""
    x, _ = rows_with_holes(n=80, columns=2)
    x[50:, 1] = np.nan
    fitted = fit_normal(x, tolerance=1e-13)
    first, second = x[:50].T
    slope = np.cov(first, second, ddof=0)[0, 1] / first.var()
    mean = second.mean() + slope * (x[:, 0].mean() - first.mean())
    noise = second.var() - slope**2 * first.var()
    assert fitted.mean[1] == pytest.approx(mean, abs=1e-6)
    assert fitted.covariance[0, 1] == pytest.approx(slope * x[:, 0].var(), rel=1e-5)
    variance = noise + slope**2 * x[:, 0].var()
    assert fitted.covariance[1, 1] == pytest.approx(variance, rel=1e-5)


def test_units_change_only_units():
    _, x = rows_with_holes()
    scale = np.array([1e-12, 1.0, 1e9, 30.0])
    plain = fit_normal(x, ridge=1.0)
    scaled = fit_normal(x * scale, ridge=1.0)
    np.testing.assert_allclose(scaled.mean, plain.mean * scale)
    np.testing.assert_allclose(
        scaled.covariance, plain.covariance * np.outer(scale, scale)
    )
    shift = (~np.isnan(x)).sum(0) @ np.log(scale)
    np.testing.assert_allclose(scaled.history, plain.history - shift)


def test_conditional_moments_are_those_of_the_formula():
    _, x = rows_with_holes()
    fitted = fit_normal(x)
    completed, variance = fitted.conditional(x)
    for row, full, spread in zip(x, completed, variance, strict=True):
        o = ~np.isnan(row)
        gain = fitted.covariance[np.ix_(~o, o)] @ np.linalg.inv(
            fitted.covariance[np.ix_(o, o)]
        )
        mean = fitted.mean[~o] + gain @ (row[o] - fitted.mean[o])
        left = (
            fitted.covariance[np.ix_(~o, ~o)] - gain @ fitted.covariance[np.ix_(o, ~o)]
        )
        np.testing.assert_allclose(full[~o], mean)
        np.testing.assert_allclose(full[o], row[o])
        np.testing.assert_allclose(spread[~o], np.diag(left))
        assert (spread[o] == 0).all()


def test_draws_have_the_conditional_moments():
    covariance = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, -0.4], [0.3, -0.4, 1.5]])
    normal = FittedNormal(np.array([1.0, 2.0, 3.0]), covariance)
    x = np.tile([2.0, np.nan, np.nan], (40_000, 1))
    drawn = normal.draw(x, np.random.default_rng(0))
    mean, _ = normal.conditional(x[:1])
    left = covariance[1:, 1:] - np.outer(covariance[1:, 0], covariance[0, 1:])
    assert (drawn[:, 0] == 2.0).all()
    se = np.sqrt(np.diag(left) / len(x))
    assert (np.abs(drawn[:, 1:].mean(0) - mean[0, 1:]) < 4 * se).all()
    np.testing.assert_allclose(np.cov(drawn[:, 1:].T), left, atol=0.05)


def test_parts_of_the_rows_change_nothing(monkeypatch):
    _, x = rows_with_holes()
    whole = fit_normal(x)
    monkeypatch.setattr("pyro_vae.data.normal_em.NUMBERS_AT_ONCE", 7 * 16)
    parts = fit_normal(x)
    np.testing.assert_allclose(parts.covariance, whole.covariance)
    np.testing.assert_allclose(parts.log_prob(x), whole.log_prob(x))


def test_fewer_rows_than_columns_need_a_ridge():
    x = np.random.default_rng(0).normal(size=(5, 8))
    with pytest.raises(ValueError, match=r"ridge=1\.0"):
        fit_normal(x)
    assert np.isfinite(fit_normal(x, ridge=1.0).log_prob(x)).all()


def test_a_constant_column_needs_a_ridge():
    x, _ = rows_with_holes()
    x[:, 1] = 3.0
    fitted = fit_normal(x, ridge=1.0)
    assert fitted.mean[1] == 3.0
    assert np.isfinite(fitted.covariance).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([[1.0, np.nan], [2.0, np.nan]]), r"none in columns \[1\]; drop them"),
        (np.array([[1.0, np.inf], [2.0, 1.0]]), "1 infinite cells"),
        (np.zeros(3), r"got \(3,\)"),
        (np.zeros((1, 3)), r"got \(1, 3\)"),
    ],
)
def test_what_it_refuses(x, message):
    with pytest.raises(ValueError, match=message):
        fit_normal(x)


def test_padding_is_the_inverse_of_the_observed_part():
    covariance = np.array([[2.0, 0.5, 0.3], [0.5, 1.0, 0.2], [0.3, 0.2, 3.0]])
    inverse, log_det = padded_inverse(covariance, np.array([[True, False, True]]))
    part = covariance[np.ix_([0, 2], [0, 2])]
    np.testing.assert_allclose(inverse[0][np.ix_([0, 2], [0, 2])], np.linalg.inv(part))
    assert (inverse[0, 1] == 0).all()
    assert log_det[0] == pytest.approx(np.linalg.slogdet(part)[1])
