"""Whether rows that a model draws are like held-out rows, column by column."""

from collections.abc import Collection

import numpy as np
from scipy import stats

from pyro_vae.analysis.posterior_checks.uniformity import uniformity

FEWEST = 5
"""Expected rows of a level in a chi-squared test; rarer levels are one."""


def randomised_pit(
    values: np.ndarray, draws: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """The probability integral transform of values by the ranks among draws, (n,).

    u = (#{y < x} + v (#{y = x} + 1)) / (m + 1)   for m draws y, and v uniform on (0, 1)

    is uniform on (0, 1) where x and the draws are from one distribution, also a discrete one.

    References:
        Predictive Model Assessment for Count Data (Czado, Gneiting, Held, 2009).

    Arguments:
        values: x, (n,), finite.
        draws: y, (m,), finite.
        seed: of v.

    Example:
        >>> randomised_pit(np.array([-1.0, 9.0]), np.arange(9.0)).round(1)
        array([0.1, 0.9])
    """
    ordered = np.sort(draws)
    below = np.searchsorted(ordered, values, side="left")
    equal = np.searchsorted(ordered, values, side="right") - below
    v = np.random.default_rng(seed).random(len(values))
    pit: np.ndarray = (below + v * (equal + 1)) / (len(draws) + 1)
    return pit


def column_p_values(
    rows: np.ndarray,
    draws: np.ndarray,
    *,
    unordered: Collection[int] = (),
    seed: int = 0,
) -> np.ndarray:
    """p-values that the columns of some rows are distributed as those of rows a model drew, (D,).

    Neyman's smooth test of the PIT; a chi-squared test of two samples for categories without an
    order. Missing cells are left out. Take many more draws than rows: the smooth test takes the
    model's distribution as known.

    Arguments:
        rows: held out, (n, D).
        draws: of the model, (m, D).
        unordered: columns of categories without an order, coded as whole numbers from 0.
        seed: of the randomised PIT.

    Returns:
        One p-value for each column; nan without a cell, or where there is only one category.

    Example:
        >>> random = np.random.default_rng(0)
        >>> draws = random.normal(size=(5000, 2))
        >>> p = column_p_values(random.normal(size=(200, 2)) + [0.0, 1.0], draws)
        >>> p[0] > 0.01, p[1] < 1e-6
        (np.True_, np.True_)
    """
    found = [
        _p_value(own[np.isfinite(own)], other[np.isfinite(other)], i in unordered, seed)
        for i, (own, other) in enumerate(zip(rows.T, draws.T, strict=True))
    ]
    return np.array(found)


def _p_value(
    own: np.ndarray, other: np.ndarray, is_unordered: bool, seed: int
) -> float:
    if not len(own) or not len(other):
        return float("nan")
    if is_unordered:
        return _chi_squared(own.astype(int), other.astype(int))
    return float(uniformity(randomised_pit(own, other, seed=seed)))


def _chi_squared(own: np.ndarray, other: np.ndarray) -> float:
    """The p-value that two samples of categories have one distribution, rare ones as one."""
    size = 1 + max(own.max(), other.max())
    counts = np.stack(
        [np.bincount(own, minlength=size), np.bincount(other, minlength=size)]
    )
    expected = counts.sum(0) * len(own) / counts.sum()
    is_rare = expected < FEWEST
    merged = np.column_stack([counts[:, ~is_rare], counts[:, is_rare].sum(1)])
    merged = merged[:, merged.sum(0) > 0]
    if merged.shape[1] < 2:
        return float("nan")
    return float(stats.chi2_contingency(merged, correction=False).pvalue)
