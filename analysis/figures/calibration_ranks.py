"""Ranks of true values among draws: their distribution functions with a simultaneous band."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from scipy import stats

from pyro_vae.analysis.figures.ecdf import LEVEL, POINTS, SIMULATIONS
from pyro_vae.analysis.figures.names import plain
from pyro_vae.analysis.results.levels import require_share
from pyro_vae.figure_style import GREY, ORANGE, colour_and_marker, legend_above

__all__ = ["UniformBand", "calibration_ranks", "uniform_band"]

Floats = npt.NDArray[np.float64]
NAMED = 4
"""Curves that leave the band and have a colour of their own."""
STYLES = ("-", "--", "-.", ":")


class UniformBand(NamedTuple):
    """Where the empirical distribution function of n uniform numbers lies.

    Attributes:
        at: places u between 0 and 1, (points,).
        lower, upper: ends of the band of #{uᵢ ≤ u} / n, (points,).
    """

    at: Floats
    lower: Floats
    upper: Floats


def uniform_band(values: int, *, level: float = LEVEL, seed: int = 0) -> UniformBand:
    """A band that holds a whole distribution function of uniform numbers with a probability.

    #{uᵢ ≤ u} ~ Binomial(n, u)

    at each of 50 places u; the intervals there have one common tail probability, which 4000
    simulations adjust so that they hold together.

    References:
        Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation
        and multiple sample comparison (Säilynoja, Bürkner, Vehtari, 2022).

    Arguments:
        values: n.
        level: the probability.
        seed: of the simulations.

    Returns:
        The `UniformBand`.

    Raises:
        ValueError: no values, a level that is not between 0 and 1.

    Example:
        >>> band = uniform_band(100)
        >>> middle = len(band.at) // 2
        >>> round(float(band.upper[middle] - band.lower[middle]), 2)  # 0.2 at this place alone
        0.28
    """
    require_share(level, usual=LEVEL)
    if values < 1:
        raise ValueError(
            f"uniform_band: expected at least 1 value, got {values}; pass more rows"
        )
    return _band(values, level, seed)


@lru_cache(maxsize=32)  # the simulations are the same for all dimensions
def _band(values: int, level: float, seed: int) -> UniformBand:
    at = np.arange(1, POINTS + 1) / (POINTS + 1)
    counts = np.arange(values + 1)[:, None]
    below = stats.binom.cdf(counts, values, at)
    above = stats.binom.sf(counts - 1, values, at)
    smaller = np.minimum(below, above)
    random = np.random.default_rng(seed)
    cells = np.diff(at, prepend=0.0, append=1.0)
    drawn = random.multinomial(values, cells, size=SIMULATIONS)[:, :-1].cumsum(1)
    smallest = smaller[drawn, np.arange(POINTS)].min(1)
    is_inside = smaller >= np.quantile(smallest, 1 - level, method="lower")
    lower = is_inside.argmax(0) / values
    upper = 1 - is_inside[::-1].argmax(0) / values
    return UniformBand(at, lower, upper)


def calibration_ranks(
    axes: Axes,
    pit: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Axes:
    """Draw how far the ranks of true values among draws are from uniform, and a band for all.

    F(u) - u, where F is the distribution function of the ranks as numbers between 0 and 1

    The band holds all curves together with probability `level`, if each is uniform. A curve with a
    hill on the left and a valley on the right (an S) has ranks at both ends: the draws are too
    narrow; a valley and then a hill means too wide; one hill: the truth is below the draws.

    References:
        Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation
        and multiple sample comparison (Säilynoja, Bürkner, Vehtari, 2022).
        Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts,
        Betancourt, Simpson, Vehtari, Gelman, 2018).

    Arguments:
        axes: to draw on.
        pit: (rank + u) / (draws + 1) with u ~ U(0, 1), (rows, curves).
        names: of the curves.
        level: of the band.
        seed: of the simulations for the band.

    Returns:
        The axes.

    Raises:
        ValueError: numbers outside of 0 to 1, other shapes or names, a level outside of (0, 1).

    Example:
        >>> from matplotlib.figure import Figure
        >>> u = np.random.default_rng(0).random((200, 2))
        >>> axes = calibration_ranks(Figure().add_subplot(), u**[1, 2], names=["z[0]", "z[1]"])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['95% band', 'inside (1)', 'z[1]']
    """
    require_share(level, usual=LEVEL)
    values = _checked(pit, names)
    rows, curves = values.shape
    named = [f"{i}" for i in range(curves)] if names is None else [*names]
    band = uniform_band(rows, level=1 - (1 - level) / curves, seed=seed)
    _band_about_zero(axes, band, f"{level:.0%} band")
    excess = _excess(values, band)
    inside = [i for i in range(curves) if excess[i] <= 0.5 / rows]
    grey = {"color": GREY, "linewidth": 0.9}
    for order, i in enumerate(inside):
        label = f"inside ({len(inside)})" if order == 0 else "_"
        _curve(axes, values[:, i], label, grey)
    worst = map(int, np.argsort(-excess, kind="stable"))
    outside = [i for i in worst if i not in inside]
    for order, i in enumerate(outside):
        label = plain(named[i]) if order < NAMED else "_"
        _curve(axes, values[:, i], label, _look(order))
    if len(outside) > NAMED:
        label = f"{len(outside) - NAMED} more outside"
        axes.plot([], [], label=label, **_look(NAMED))
    axes.set(xlabel="rank of the truth, 0 to 1", ylabel="share at most u, minus u")
    axes.set_xlim(0, 1)
    legend_above(axes, columns=2)
    return axes


def _band_about_zero(axes: Axes, band: UniformBand, label: str) -> None:
    """The band less u; at 0 and 1 its ends meet."""
    at = np.concatenate([[0.0], band.at, [1.0]])
    lower = np.concatenate([[0.0], band.lower - band.at, [0.0]])
    upper = np.concatenate([[0.0], band.upper - band.at, [0.0]])
    look: dict[str, Any] = {"color": GREY, "alpha": 0.25, "linewidth": 0}
    axes.fill_between(at, lower, upper, label=label, **look)
    axes.axhline(0, color=GREY, linewidth=0.8)


def _excess(values: Floats, band: UniformBand) -> Floats:
    """By how much each curve leaves the band, (curves,); below 0 where it doesn't."""
    share = (values[:, :, None] <= band.at).mean(0)
    beyond = np.maximum(share - band.upper, band.lower - share)
    furthest: Floats = beyond.max(1)
    return furthest


def _look(order: int) -> dict[str, Any]:
    """The line of a curve outside of the band, the worst first."""
    if order >= NAMED:
        return {"color": ORANGE, "alpha": 0.5, "linewidth": 0.9}
    colour, _ = colour_and_marker((2, 4, 0, 6)[order])
    return {"color": colour, "linestyle": STYLES[order], "linewidth": 1.6}


def _curve(axes: Axes, values: Floats, label: str, look: dict[str, Any]) -> None:
    """F(u) - u: it falls between two values, and jumps at each."""
    ordered = np.sort(values)
    at = np.concatenate([[0.0], np.repeat(ordered, 2), [1.0]])
    share = np.repeat(np.arange(len(ordered) + 1) / len(ordered), 2)
    axes.plot(at, share - at, label=label, **look)


def _checked(pit: npt.ArrayLike, names: Sequence[str] | None) -> Floats:
    values = np.asarray(pit, dtype=np.float64)
    is_matrix = values.ndim == 2 and values.size > 0
    if not is_matrix or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"pit: expected numbers from 0 to 1 of shape (rows, curves), got shape {values.shape}; "
            "pass (rank + u) / (draws + 1)"
        )
    if names is not None and len(names) != values.shape[1]:
        raise ValueError(
            f"names: expected {values.shape[1]} of them, got {len(names)}; give one for each curve"
        )
    return values
