"""Whether numbers are uniform on (0, 1): Neyman's smooth test, and p-values of several tests."""

import math

import numpy as np
from scipy import stats

ORDER = 4
"""Legendre polynomials in the smooth test: slope, curvature, and two finer shapes."""


def uniformity(pit: np.ndarray) -> np.ndarray:
    """p-values of Neyman's smooth test that each column of (rows, ...) is uniform on (0, 1).

    The chance of a p-value below 0.01 is 0.01 within a tenth of it from 50 rows on.

    References:
        'Smooth test' for goodness of fit (Neyman, 1937).
    """
    p: np.ndarray = stats.chi2.sf(np.square(components(pit)).sum(0), ORDER)
    return p


def components(pit: np.ndarray) -> np.ndarray:
    """The components of the smooth test, (4, ...), each about N(0, 1) if (rows, ...) is uniform.

    √n mean(√(2k + 1) P_k(2 pit - 1)) for k = 1, ..., 4

    The first is above 0 where the truth lies above the draws, the second where it lies outside
    them.
    """
    polynomials = np.polynomial.legendre.legvander(2 * pit - 1, ORDER)[..., 1:]
    norms = np.sqrt(2 * np.arange(1, ORDER + 1) + 1)
    scores: np.ndarray = math.sqrt(len(pit)) * polynomials.mean(0) * norms
    return np.moveaxis(scores, -1, 0)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values (m,) of m tests, adjusted for their number by the method of Holm (1979).

    The chance that any of them is below α is at most α where all hypotheses are true.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values)
    steps = np.arange(len(p_values), 0, -1) * p_values[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
