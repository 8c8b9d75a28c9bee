"""Conformal p-values: how a score stands among those of rows that are known to be ordinary."""

import numpy as np
import numpy.typing as npt

from pyro_vae.analysis.results.levels import require_share

Floats = npt.NDArray[np.float64]


def low_p_value(scores: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """p-values that are small where a score is low among those of the reference.

    p = (1 + #{reference ≤ score}) / (n + 1) for n reference scores

    P(p ≤ a) ≤ a for a score that is exchangeable with them, whatever their distribution; without
    ties P(p ≤ a) = a for a = 1 / (n + 1), 2 / (n + 1), ..., 1.

    References:
        Testing for Outliers with Conformal p-values (Bates, Candès, Lei, Romano, Sesia, 2023).

    Arguments:
        scores: (rows,).
        reference: (n,), at least one, none of them nan.

    Returns:
        (rows,); nan where the score is nan.

    Raises:
        ValueError: no reference score, or one that is nan.

    Example:
        >>> low_p_value([-9.0, 0.5], [-1.0, 0.0, 1.0])
        array([0.25, 0.75])
    """
    given = np.asarray(scores, np.float64)
    ordered = _sorted(reference)
    p = (1 + np.searchsorted(ordered, given, side="right")) / (len(ordered) + 1)
    return np.where(np.isnan(given), np.nan, p)


def typicality_p_value(scores: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """p-values that are small where a score is far from the mean of the reference, on either side.

    p = (1 + #{j: |rⱼ - m| ≥ |s - m|}) / (n + 1),   m = (s + Σⱼ rⱼ) / (n + 1)

    The mean is over the reference scores rⱼ and the score s itself, so that all n + 1 play the same
    part and P(p ≤ a) ≤ a, as in `low_p_value`.

    References:
        Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality (Nalisnick,
        Matsukawa, Teh, Lakshminarayanan, 2019), for the distance; it tests batches by a bootstrap.
        Testing for Outliers with Conformal p-values (Bates, Candès, Lei, Romano, Sesia, 2023).

    Arguments:
        scores: (rows,).
        reference: (n,), at least one, none of them nan.

    Returns:
        (rows,); nan where the score is nan.

    Raises:
        ValueError: no reference score, or one that is nan.

    Example:
        >>> typicality_p_value([-9.0, 0.1, 9.0], [-1.0, 0.0, 1.0])
        array([0.25, 0.75, 0.25])
    """
    given = np.asarray(scores, np.float64)
    ordered = _sorted(reference)
    mean = (given + ordered.sum()) / (len(ordered) + 1)
    mirrored = 2 * mean - given
    low = np.minimum(given, mirrored)
    high = np.maximum(given, mirrored)
    below = np.searchsorted(ordered, low, side="right")
    above = len(ordered) - np.searchsorted(ordered, high, side="left")
    # a score at the mean has both ends at once, and its ties count twice
    farther = np.minimum(below + above, len(ordered))
    p = (1 + farther) / (len(ordered) + 1)
    return np.where(np.isnan(given), np.nan, p)


def discoveries(p_values: npt.ArrayLike, level: float) -> npt.NDArray[np.int64]:
    """Indices of the rows that are called outliers, at a false discovery rate of at most `level`.

    The k smallest of m p-values, with the largest k for which the k-th is at most level k / m. It
    holds for conformal p-values that share one reference, which depend on each other positively.

    References:
        Controlling the False Discovery Rate (Benjamini, Hochberg, 1995).
        Testing for Outliers with Conformal p-values (Bates, Candès, Lei, Romano, Sesia, 2023).

    Arguments:
        p_values: (m,); nan is never an outlier.
        level: of the false discovery rate, between 0 and 1.

    Returns:
        The indices, the smallest p-value first.

    Raises:
        ValueError: a level that is not between 0 and 1.

    Example:
        >>> discoveries([0.5, 0.001, 0.03, 0.9], level=0.1)
        array([1, 2])
    """
    require_share(level, usual=0.1)
    p = np.nan_to_num(np.asarray(p_values, np.float64), nan=1.0)
    order = np.argsort(p, kind="stable")
    thresholds = level * np.arange(1, len(p) + 1) / len(p)
    # conformal p-values are often equal to a threshold, up to rounding
    (passing,) = np.nonzero(p[order] <= (1 + 1e-12) * thresholds)
    # all up to the last that passes, also those that don't pass themselves
    count = passing.max(initial=-1) + 1
    return order[:count]


def _sorted(reference: npt.ArrayLike) -> Floats:
    ordered = np.sort(np.asarray(reference, np.float64))
    if not len(ordered) or np.isnan(ordered).any():
        got = "nan" if len(ordered) else "none"
        raise ValueError(
            f"reference: expected at least one number, got {got}; pass held-out rows"
        )
    return ordered
