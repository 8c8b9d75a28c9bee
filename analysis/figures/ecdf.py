"""Empirical distribution functions of data and of draws of a model, with a simultaneous band."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats

from pyro_vae.analysis.results.levels import require_share
from pyro_vae.figure_style import BLUE, ORANGE

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
POINTS = 50
"""Places at which the band is held to its level."""
SIMULATIONS = 4000


class Band(NamedTuple):
    """Where the empirical distribution function of n values lies, if they are like m draws.

    Attributes:
        rank: ranks k among the sorted draws, from 1, (points,).
        lower, upper: ends of the band of #{values at most the k-th draw} / n, (points,).
    """

    rank: npt.NDArray[np.int64]
    lower: Floats
    upper: Floats


def ecdf_band(values: int, draws: int, *, level: float = LEVEL, seed: int = 0) -> Band:
    """A band that holds a whole empirical distribution function with probability `level`.

    #{xᵢ ≤ y₍ₖ₎} ~ BetaBinomial(n, k, m + 1 - k)   for n values and m draws from one distribution

    is exact at each k for continuous distributions; the intervals at 50 ranks have one common
    level, which 4000 simulations adjust so that they hold together. Ties make it conservative.

    References:
        Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation
        and multiple sample comparison (Säilynoja, Bürkner, Vehtari, 2022), whose band is that of
        a known distribution.

    Arguments:
        values: n.
        draws: m.
        level: the probability.
        seed: of the simulations.

    Returns:
        The `Band`.

    Raises:
        ValueError: no values or no draws, a level that is not between 0 and 1.

    Example:
        >>> band = ecdf_band(100, 1000)
        >>> middle = len(band.rank) // 2
        >>> round(float(band.upper[middle] - band.lower[middle]), 2)  # 0.2 at this rank alone
        0.29
    """
    require_share(level, usual=LEVEL)
    if values < 1 or draws < 1:
        raise ValueError(
            f"ecdf_band: expected at least 1 value and 1 draw, got {values} and {draws}; pass more"
        )
    return _band(values, draws, level, seed)


@lru_cache(maxsize=64)  # the columns of a table often have the same numbers of cells
def _band(values: int, draws: int, level: float, seed: int) -> Band:
    spread = np.linspace(0, 1, POINTS + 2)[1:-1] * (draws + 1)
    rank = np.unique(np.clip(np.rint(spread), 1, draws).astype(np.int64))
    smaller = _smaller_tails(values, draws, rank)
    is_inside = smaller >= _common_tail(values, draws, rank, smaller, level, seed)
    lower = is_inside.argmax(0)
    upper = values - is_inside[::-1].argmax(0)
    return Band(rank, lower / values, upper / values)


def _smaller_tails(values: int, draws: int, rank: npt.NDArray[np.int64]) -> Floats:
    """The smaller of P(X ≤ c) and P(X ≥ c) for each count c at each rank, (values + 1, ranks)."""
    c = np.arange(values + 1)[:, None]
    probability = stats.betabinom.pmf(c, values, rank, draws + 1 - rank)
    below = probability.cumsum(0)
    above = probability[::-1].cumsum(0)[::-1]
    return np.asarray(np.minimum(below, above), dtype=np.float64)


def _common_tail(
    values: int,
    draws: int,
    rank: npt.NDArray[np.int64],
    smaller: Floats,
    level: float,
    seed: int,
) -> float:
    """The tail probability that no count falls below at any rank, with probability `level`.

    The k-th of m uniform draws is a ratio of sums of exponential gaps (Rényi, 1953).
    """
    random = np.random.default_rng(seed)
    steps = np.diff(np.concatenate([[0], rank, [draws + 1]]))
    gaps = random.standard_gamma(steps, size=(SIMULATIONS, len(steps)))
    places = (gaps.cumsum(1) / gaps.sum(1, keepdims=True))[:, :-1]
    uniform = np.sort(random.random((SIMULATIONS, values)), axis=1)
    at = range(len(rank))
    smallest = [
        smaller[np.searchsorted(own, place, side="right"), at].min()
        for own, place in zip(uniform, places, strict=True)
    ]
    return float(np.quantile(smallest, 1 - level, method="lower"))


def ecdf_with_band(
    axes: Axes,
    data: npt.ArrayLike,
    draws: npt.ArrayLike,
    *,
    level: float = LEVEL,
    seed: int = 0,
    xlabel: str = "",
) -> Axes:
    """Draw the empirical distribution function of data, and the band that a model gives it.

    Arguments:
        axes: to draw on.
        data: values, (n,); nan is left out.
        draws: of the model, (m,); nan is left out.
        level: the probability that data like the draws stay inside the band everywhere.
        seed: of the simulations for the band.
        xlabel: the unit of the values.

    Returns:
        The axes.

    Raises:
        ValueError: no finite value in the data or the draws.

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = np.random.default_rng(0).normal(size=300)
        >>> axes = ecdf_with_band(Figure().add_subplot(), x[:100], x[100:], xlabel="mm")
        >>> axes.get_xlabel(), [line.get_label() for line in axes.lines]
        ('mm', ['data'])
    """
    own = known(data)
    other = known(draws)
    band = ecdf_band(len(own), len(other), level=level, seed=seed)
    at = other[band.rank - 1]
    look: dict[str, Any] = {"step": "post", "alpha": 0.3, "linewidth": 0}
    label = f"model, {level:.0%} band"
    axes.fill_between(at, band.lower, band.upper, color=ORANGE, label=label, **look)
    steps = np.arange(1, len(own) + 1) / len(own)
    axes.step(own, steps, where="post", color=BLUE, linewidth=1.4, label="data")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set(xlabel=xlabel, ylabel="share at most x", ylim=(-0.02, 1.02))
    return axes


def leaves_band(
    data: npt.ArrayLike,
    draws: npt.ArrayLike,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> bool:
    """Whether the distribution function of the data leaves the band of `ecdf_with_band`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=300)
        >>> leaves_band(x[:100], x[100:]), leaves_band(x[:100] + 1, x[100:])
        (False, True)
    """
    own = known(data)
    other = known(draws)
    band = ecdf_band(len(own), len(other), level=level, seed=seed)
    share = np.searchsorted(own, other[band.rank - 1], side="right") / len(own)
    # half a count of slack: the ends are whole numbers of values, divided by n
    slack = 0.5 / len(own)
    is_outside = (share < band.lower - slack) | (share > band.upper + slack)
    return bool(is_outside.any())


def known(values: npt.ArrayLike, name: str = "values") -> Floats:
    """The finite values in order.

    Arguments:
        values: numbers of any shape.
        name: of the values, in the message.

    Raises:
        ValueError: there are none.

    Example:
        >>> known([2.0, np.nan, 1.0])
        array([1., 2.])
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    finite = np.sort(numbers[np.isfinite(numbers)])
    if not finite.size:
        raise ValueError(
            f"{name}: expected at least one finite number, got none among {numbers.size}; draw "
            "this picture only where there is one"
        )
    return finite
