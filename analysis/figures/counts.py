"""Counts and levels of a column, data against draws of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.ecdf import known
from pyro_vae.analysis.figures.names import name_ticks
from pyro_vae.figure_style import BLUE, GREY, ORANGE

Floats = npt.NDArray[np.float64]
BINS = 30
"""Bars of a rootogram, at most."""
NAMED_BINS = 9
"""Of them with their counts below."""
SIDE_BY_SIDE = 30
"""Characters of all names of levels that have room side by side."""


def rootogram(
    axes: Axes,
    counts: npt.ArrayLike,
    draws: npt.ArrayLike,
    *,
    xlabel: str = "",
) -> Axes:
    """Draw a hanging rootogram: bars of √observed hang from the curve √expected.

    Counts of a range above 30 are in bins that grow in proportion to the counts. Where a bar ends
    above the line at 0 the model expects too many rows, below it too few. √n has
    a standard deviation of about 1/2 whatever n is, so a bar that ends beyond the dashed lines at
    ±1 is two of them away.

    References:
        Some Graphic and Semigraphic Displays (Tukey, 1972).
        Visualizing Count Data Regressions Using Rootograms (Kleiber, Zeileis, 2016).

    Arguments:
        axes: to draw on.
        counts: of the data, (n,), whole numbers; nan is left out.
        draws: of the model, (m,), which are scaled to n.
        xlabel: the unit of the counts.

    Returns:
        The axes.

    Raises:
        ValueError: no finite count in the data or the draws.

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = np.random.default_rng(0).poisson(3, size=1000)
        >>> axes = rootogram(Figure().add_subplot(), x[:100], x[100:], xlabel="birds")
        >>> len(axes.patches), axes.get_xlabel()
        (11, 'birds')
    """
    own = known(counts)
    other = known(draws)
    first = _first_counts(own, other)
    edges = np.append(first, np.inf) - 0.5
    expected = np.histogram(other, edges)[0] * len(own) / len(other)
    top = np.sqrt(expected)
    height = np.sqrt(np.histogram(own, edges)[0])
    at = np.arange(len(first))
    look: dict[str, Any] = {"color": BLUE, "alpha": 0.55, "label": "data"}
    axes.bar(at, height, 0.86, bottom=top - height, **look)
    look = {"color": ORANGE, "linewidth": 1.4, "markersize": 5, "label": "model"}
    axes.plot(at, top, ".-", **look)
    axes.axhline(0, color=GREY, linewidth=1)
    for end in (-1, 1):
        axes.axhline(end, color=GREY, linewidth=1, linestyle="--")
    _name_bins(axes, first)
    lowest = min(-1.0, float((top - height).min()))
    axes.set(
        xlabel=xlabel, ylabel="√rows", ylim=(1.15 * lowest, 1.05 * top.max() + 0.2)
    )
    return axes


def _first_counts(own: Floats, other: Floats) -> npt.NDArray[np.int64]:
    """The first count of each bin: one for each count of a small range, else ever wider ones.

    The last bin has all counts that are larger.
    """
    low = int(min(own.min(), other.min()))
    high = int(max(own.max(), np.quantile(other, 0.995)))
    span = high - low + 1
    if span <= BINS:
        return np.arange(low, high + 1)
    steps = np.geomspace(1, span, BINS // 2) - 1
    return np.unique(low + np.rint(steps).astype(np.int64))


def _name_bins(axes: Axes, first: npt.NDArray[np.int64]) -> None:
    """The first counts of some bins below them, with a plus at the last."""
    every = max(1, -(-len(first) // NAMED_BINS))
    named = np.arange(0, len(first), every)
    names = [str(count) for count in first[named]]
    if named[-1] == len(first) - 1:
        names[-1] += "+"
    axes.set_xticks(named, names)


def level_bars(
    axes: Axes,
    data: npt.ArrayLike,
    draws: npt.ArrayLike,
    levels: Sequence[Any],
    *,
    most: int = 12,
) -> Axes:
    """Draw the share of rows in each level: bars with two standard errors, and the model's points.

    Arguments:
        axes: to draw on.
        data: positions among the levels, from 0, (n,); nan is left out.
        draws: those of the model, (m,).
        levels: their names.
        most: levels with a bar of their own, the most frequent ones; the others share one.

    Returns:
        The axes.

    Raises:
        ValueError: no finite value in the data or the draws, or one that is no position of a level.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = level_bars(Figure().add_subplot(), [0, 0, 1, 1], [0, 1, 1, 1], ["no", "yes"])
        >>> [text.get_text() for text in axes.get_xticklabels()]
        ['no', 'yes']
        >>> [bar.get_height() for bar in axes.patches]
        [np.float64(0.5), np.float64(0.5)]
    """
    own = _positions(data, "data", len(levels))
    other = _positions(draws, "draws", len(levels))
    shares = np.bincount(own, minlength=len(levels)) / len(own)
    expected = np.bincount(other, minlength=len(levels)) / len(other)
    names = [str(level) for level in levels]
    if len(levels) > most:
        order = np.sort(np.argsort(-shares, kind="stable")[: most - 1])
        others = np.setdiff1d(np.arange(len(levels)), order)
        shares = np.append(shares[order], shares[others].sum())
        expected = np.append(expected[order], expected[others].sum())
        names = [names[level] for level in order] + [f"{len(others)} others"]
    at = np.arange(len(names))
    error = 2 * np.sqrt(shares * (1 - shares) / len(own))
    look: dict[str, Any] = {"color": BLUE, "alpha": 0.55, "label": "data"}
    axes.bar(at, shares, 0.8, yerr=error, ecolor=GREY, **look)
    axes.plot(at, expected, "D", color=ORANGE, markersize=6, label="model")
    name_ticks(axes.xaxis, at, names, most=14, room=SIDE_BY_SIDE)
    axes.set(ylabel="share of rows", ylim=(0, None))
    return axes


def _positions(values: npt.ArrayLike, name: str, count: int) -> npt.NDArray[np.int64]:
    """Whole numbers from 0 to count - 1."""
    numbers = known(values, name)
    is_position = np.isin(numbers, np.arange(count))
    if not is_position.all():
        raise ValueError(
            f"{name}: expected positions among the {count} levels, whole numbers from 0 to "
            f"{count - 1}, got {numbers[~is_position][0]:g}; name all levels"
        )
    return numbers.astype(np.int64)
