"""Conformal p-values: what they are by hand, and that they are uniform where nothing is unusual."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from pyro_vae.analysis.outliers.conformal import (
    discoveries,
    low_p_value,
    typicality_p_value,
)

PValue = Callable[[np.ndarray, np.ndarray], np.ndarray]
both = pytest.mark.parametrize("p_value", [low_p_value, typicality_p_value])


@both
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "exponential"])
def test_p_values_of_exchangeable_scores_are_uniform(
    p_value: PValue, draw: str
) -> None:
    """Against 19 reference scores: 1/20, 2/20, ..., 1, each with probability 1/20."""
    scores = getattr(np.random.default_rng(0), draw)(size=(4000, 20))
    p = np.array([p_value(row[:1], row[1:])[0] for row in scores])
    counts = np.bincount(np.round(20 * p).astype(int), minlength=21)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3


@both
def test_ties_only_make_p_values_larger(p_value: PValue) -> None:
    scores = np.random.default_rng(1).integers(0, 4, size=(4000, 20)).astype(float)
    p = np.array([p_value(row[:1], row[1:])[0] for row in scores])
    for level in (0.05, 0.1, 0.25, 0.5):
        assert (p <= level + 1e-12).mean() <= level + 4 * np.sqrt(level / 4000)


def test_typicality_by_its_definition() -> None:
    rng = np.random.default_rng(2)
    scores = 3 * rng.normal(size=200)
    reference = rng.normal(size=37)
    found = typicality_p_value(scores, reference)
    for score, p in zip(scores, found, strict=True):
        mean = np.append(reference, score).mean()
        farther = (np.abs(reference - mean) >= np.abs(score - mean)).sum()
        assert p == pytest.approx((1 + farther) / 38)


def test_a_row_may_be_too_likely() -> None:
    reference = np.random.default_rng(3).normal(size=999)
    assert low_p_value([9.0], reference)[0] == 1.0
    assert typicality_p_value([9.0], reference)[0] == 1 / 1000


@both
def test_what_is_not_a_number(p_value: PValue) -> None:
    assert np.isnan(p_value(np.array([np.nan]), np.zeros(3))).all()
    with pytest.raises(
        ValueError, match="reference: expected at least one number, got none"
    ):
        p_value(np.zeros(1), np.zeros(0))
    with pytest.raises(ValueError, match="got nan"):
        p_value(np.zeros(1), np.array([0.0, np.nan]))


def test_discoveries_are_those_of_scipy() -> None:
    p = np.random.default_rng(4).uniform(size=300) ** 3
    expected = np.flatnonzero(stats.false_discovery_control(p) <= 0.2)
    assert sorted(discoveries(p, 0.2)) == expected.tolist()
    assert len(discoveries(np.ones(5), 0.2)) == 0
    assert len(discoveries([np.nan], 0.2)) == 0
    with pytest.raises(
        ValueError, match="level: expected a number between 0 and 1, got 5"
    ):
        discoveries(p, 5)


def test_a_p_value_at_its_threshold_is_a_discovery() -> None:
    """167/1000 = 0.2 * 167/200, whatever the rounding of either side."""
    p = np.ones(200)
    p[:167] = 167 / 1000
    assert len(discoveries(p, 0.2)) == 167
    p[:167] = 167.001 / 1000
    assert len(discoveries(p, 0.2)) == 0


def test_few_of_the_discoveries_are_ordinary() -> None:
    """In 200 repetitions of 90 ordinary rows and 10 others, 10 % or less are false on average."""
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(200):
        reference = rng.normal(size=500)
        scores = rng.normal(size=100)
        scores[:10] -= 4
        found = discoveries(low_p_value(scores, reference), 0.1)
        shares.append((found >= 10).mean() if len(found) else 0.0)
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / np.sqrt(200)
