"""Means over rows with their standard errors, and what is said where there is none."""

import math

import numpy as np
import pytest

from pyro_vae.analysis import Evidence, Summary, evidence
from tests.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random()


def numbers(rows: int, pareto_k: np.ndarray) -> Evidence:
    rng = np.random.default_rng(0)
    log_marginal, elbo = rng.normal(-80, 10, size=(2, rows))
    return Evidence(log_marginal, rng.uniform(0.1, 0.3, rows), elbo, rng.uniform(1, 100, rows), pareto_k, 100, 64)


def test_summary_is_means_over_rows() -> None:
    found = numbers(9, np.array([0.2, 0.69, 0.71, -np.inf, np.inf, 0.7, 0.1, 1.3, np.nan]))
    expected = Summary(
        rows=9,
        num_particles=100,
        log_marginal=np.mean(found.log_marginal),
        log_marginal_se=np.std(found.log_marginal, ddof=1) / 3,
        monte_carlo_se=math.sqrt(sum(found.se**2)) / 9,
        elbo=np.mean(found.elbo),
        elbo_se=np.std(found.elbo, ddof=1) / 3,
        bits_per_dim=-np.mean(found.log_marginal) / (64 * math.log(2)),
        median_ess=np.median(found.ess),
        unreliable=4 / 9,  # 0.71, inf, 1.3, and a row without a k-hat among rows that have one
    )
    for name, value in vars(expected).items():
        assert getattr(found.summary(), name) == pytest.approx(value, rel=1e-14), name
    assert "44.4% of rows" in str(found.summary())
    assert "100 draws, 9 rows" in str(found.summary())


def test_summary_of_one_row_or_of_too_few_draws() -> None:
    summary = numbers(1, np.full(1, np.nan)).summary()
    assert math.isnan(summary.log_marginal_se)
    assert math.isnan(summary.elbo_se)
    assert math.isnan(summary.unreliable)
    assert "unknown   (too few draws to tell)" in str(summary)


def test_monte_carlo_error_is_what_another_seed_moves() -> None:
    vae, x = TRUTH.vae(widen=1.3), TRUTH.sample(20)
    summaries = [evidence(vae, x, num_particles=50, seed=seed).summary() for seed in range(60)]
    spread = np.std([summary.log_marginal for summary in summaries], ddof=1)
    stated = np.mean([summary.monte_carlo_se for summary in summaries])
    assert 0.7 < spread / stated < 1.3  # a standard deviation of 60 is known to 9 %
