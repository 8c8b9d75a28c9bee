"""The Pareto k-hat of importance weights, a row at a time, from the largest weights only."""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_DRAWS", "khat_limit", "pareto_k", "tail_length"]

Floats = npt.NDArray[np.float64]

LIMIT = 0.7
"""The k-hat above which no number of draws makes a mean of weights reliable."""

FEWEST_DRAWS = 21
"""With fewer draws the tail is too short for a k-hat."""

_FEWEST = 5  # values a tail must have to be fitted
# the prior on k is worth ten values at one half
_PRIOR_COUNT = 10
_PRIOR_K = 0.5
_FLOAT32 = float(np.finfo(np.float32).eps)
_ROUNDINGS = (
    8  # a log weight is a sum, and may be off by so many times the rounding of its size
)
_HIDDEN = 0.05  # nats of rounding beyond which it hides what the weights are
_TINY = float(np.finfo(np.float64).tiny)
_SMALLEST = math.log(_TINY)  # log weights this far below the largest count as zero
_BLOCK = 2**21  # numbers worked on at once


def tail_length(num_draws: int) -> int:
    """Count the largest weights that make the tail.

    M = ceil(min(S / 5, 3 sqrt(S))), and never more than S - 1, so that a cutoff is left below them.

    References:
        Pareto smoothed importance sampling (Vehtari, Simpson, Gelman, Yao, Gabry, 2024)

    Arguments:
        num_draws: The number S of importance weights of a row, at least 1.

    Returns:
        The number M of weights in the tail; `pareto_k` wants the M + 1 largest.

    Raises:
        ValueError: When `num_draws` is below 1.

    Example:
        >>> tail_length(1000)
        95
    """
    if num_draws < 1:
        raise ValueError(
            f"num_draws: expected at least 1, got {num_draws}; k-hat is a property of drawn weights"
        )
    length = math.ceil(min(num_draws / 5, 3 * math.sqrt(num_draws)))
    return min(length, num_draws - 1)


def khat_limit(num_draws: npt.ArrayLike) -> Floats:
    """The k-hat above which a mean of S weights is unreliable: min(1 - 1 / log₁₀ S, 0.7).

    References:
        Pareto smoothed importance sampling (Vehtari, Simpson, Gelman, Yao, Gabry, 2024)

    Arguments:
        num_draws: S, of each row.

    Example:
        >>> khat_limit([100, 1000, 10_000]).round(3)
        array([0.5  , 0.667, 0.7  ])
    """
    draws = np.asarray(num_draws, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.minimum(1 - 1 / np.log10(draws), LIMIT)


def pareto_k(
    tail: npt.ArrayLike,
    num_draws: int,
    eps: float = _FLOAT32,
) -> Floats:
    """Estimate the shape k of a generalised Pareto tail of the importance weights, for each row.

    P(w - u > t | w > u) = (1 + k t / sigma)^(-1 / k), with u the smallest weight in `tail`; k is
    the posterior mean of Zhang and Stephens over the M weights above u, drawn to one half by a
    prior worth ten of them: (M k + 10 * 0.5) / (M + 10). A row's mean of weights is reliable while
    k < 0.7.

    What is not a fit: nan, too few draws to tell (M < 5), a log weight that is nan or +inf, only
    zero weights, or log weights so large that their rounding, eps times their size, is above 0.05
    nats and hides what the weights are; -inf, no tail at all (the log weights differ by rounding
    only, at most 8 eps times their size: the guide is the posterior); +inf, a handful of weights so
    large that the rest of the tail vanishes beside them.

    References:
        A new and efficient estimation method for the generalized Pareto distribution (Zhang,
        Stephens, 2009); Pareto smoothed importance sampling (Vehtari, Simpson, Gelman, Yao, Gabry,
        2024)

    Arguments:
        tail: The M + 1 largest log weights of each row, in any order, in nats, as they were
            computed: (rows, M + 1) with M = `tail_length(num_draws)`.
        num_draws: The number S of weights that the tail was taken from.
        eps: The relative rounding of the numbers that the log weights were computed in; float32's
            by default.

    Returns:
        k-hat, (rows,).

    Raises:
        ValueError: When `tail` has another shape.

    Example:
        >>> log_weights = np.random.default_rng(0).normal(size=(2, 1000))
        >>> largest = np.sort(log_weights)[:, -tail_length(1000) - 1 :]
        >>> pareto_k(largest, num_draws=1000).round(2)
        array([0.38, 0.22])
    """
    log_weights = np.sort(np.asarray(tail, dtype=np.float64), axis=-1)
    length = tail_length(num_draws)
    if log_weights.ndim != 2 or log_weights.shape[1] != length + 1:
        raise ValueError(
            f"tail: expected shape (rows, {length + 1}) for {num_draws} draws, got "
            f"{log_weights.shape}; pass the tail_length(num_draws) + 1 largest log weights of each "
            "row"
        )
    k = np.full(len(log_weights), np.nan)
    if length >= _FEWEST:
        largest = np.abs(log_weights[:, -1])
        known = eps * largest <= _HIDDEN  # False for nan and infinity too
        k[known] = _fit_rows(log_weights[known], eps)
    return k


def _fit_rows(log_weights: Floats, eps: float) -> Floats:
    """k of rows in ascending order whose largest value is finite."""
    largest = log_weights[:, -1:]
    rounding = _ROUNDINGS * eps * np.maximum(1, np.abs(largest))
    is_constant = (largest - log_weights[:, :1] <= rounding)[:, 0]
    relative = log_weights - largest
    cutoff = np.maximum(relative[:, :1], _SMALLEST)
    counts = (relative > cutoff).sum(axis=1)
    excess = np.exp(relative) - np.exp(cutoff)
    k = np.full(len(excess), np.inf)
    # rows with equally long tails are fitted together
    for count in np.unique(counts[counts >= _FEWEST]):
        (rows,) = np.nonzero(counts == count)
        block = max(1, _BLOCK // (count * _grid_size(count)))
        for some in np.split(rows, range(block, len(rows), block)):
            k[some] = _fit(excess[some, -count:])
    k[is_constant] = -np.inf
    return k


def _grid_size(count: int) -> int:
    return 30 + math.isqrt(count)


def _fit(excess: Floats) -> Floats:
    """The posterior mean of k for rows of positive excesses in ascending order.

    In the paper's notation it is -k, and b is theta.
    """
    count = excess.shape[1]
    grid = _grid_size(count)
    quartile = excess[:, [int(count / 4 + 0.5) - 1]]
    largest = excess[:, [-1]]
    # a quartile that rounds to zero leaves nan here and inf in the result
    with np.errstate(all="ignore"):
        steps = np.arange(1, grid + 1) - 0.5
        b = (1 - np.sqrt(grid / steps)) / (3 * quartile) + 1 / largest
        k = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(axis=2)
        log_profile = count * (np.log(-b / k) - k - 1)
        weights = np.exp(log_profile - _row_max(log_profile))
        weights /= _row_sum(weights)
        weights[weights < 10 * np.finfo(np.float64).eps] = 0
        b_mean = _row_sum(b * weights) / _row_sum(weights)
        k_mean = np.log1p(-b_mean * excess).mean(axis=1)
    prior = _PRIOR_COUNT * _PRIOR_K
    shrunk = (count * k_mean + prior) / (count + _PRIOR_COUNT)
    return np.where(np.isfinite(shrunk), shrunk, np.inf)


def _row_max(values: Floats) -> Floats:
    return values.max(axis=1, keepdims=True)


def _row_sum(values: Floats) -> Floats:
    return values.sum(axis=1, keepdims=True)
