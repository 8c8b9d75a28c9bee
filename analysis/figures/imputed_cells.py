"""Imputed cells: their intervals beside the truth, and how often these hold it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.names import name_ticks, plain
from pyro_vae.figure_style import BLUE, GREY, ORANGE, colour_and_marker, legend_above

__all__ = [
    "coverage_by_column",
    "errors_by_column",
    "imputation_intervals",
    "intervals_by_cell",
]

Floats = npt.NDArray[np.float64]
MOST = 200
"""Cells that are drawn."""
COLUMNS = 16
"""Columns that are drawn."""


def imputation_intervals(
    axes: Axes,
    truth: npt.ArrayLike,
    lower: npt.ArrayLike,
    middle: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    level: float = 0.9,
    unit: str = "",
) -> Axes:
    """Draw intervals of imputed cells over their true values; they should cross the diagonal.

    The legend has the share of all intervals that hold the truth, ± its standard error; at most 200
    cells are drawn.

    Arguments:
        axes: to draw on.
        truth: the true values, (m,).
        lower, middle, upper: ends and medians of the intervals, (m,).
        level: the share that should hold the truth.
        unit: of the values.

    Returns:
        The axes.

    Raises:
        ValueError: no cell that is known, other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> cells = [0.0, 5.0], [-1.0, 0.0], [0.5, 1.0], [2.0, 3.0]
        >>> axes = imputation_intervals(Figure().add_subplot(), *cells, unit="mm")
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['holds the truth (1)', 'misses it (1)', 'covered: 50% ± 35%']
    """
    true, low, mid, high = _known(truth, lower, middle, upper)
    is_inside = (true >= low) & (true <= high)
    share = float(is_inside.mean())
    error = np.sqrt(share * (1 - share) / len(true))
    shown = np.linspace(0, len(true) - 1, min(MOST, len(true))).astype(int)
    for chosen, colour, marker, name in (
        (is_inside, BLUE, "o", "holds the truth"),
        (~is_inside, ORANGE, "^", "misses it"),
    ):
        rows = shown[chosen[shown]]
        look: dict[str, Any] = {"color": colour, "linewidth": 0.9, "alpha": 0.7}
        axes.vlines(true[rows], low[rows], high[rows], **look)
        label = f"{name} ({chosen.sum()})"
        axes.plot(
            true[rows], mid[rows], marker, color=colour, markersize=3, label=label
        )
    label = f"covered: {share:.0%} ± {error:.0%}"
    axes.axline((true.mean(), true.mean()), slope=1, color=GREY, linewidth=1)
    axes.plot([], [], color=GREY, linewidth=1, label=label)
    of = f" in {plain(unit, 40)}" if unit else ""
    axes.set(xlabel=f"true value{of}", ylabel=f"{level:.0%} interval{of}")
    legend_above(axes)
    return axes


def intervals_by_cell(
    axes: Axes,
    lower: npt.ArrayLike,
    middle: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    observed: npt.ArrayLike | None = None,
    level: float = 0.9,
    unit: str = "",
) -> Axes:
    """Draw intervals of imputed cells in order of their medians.

    Arguments:
        axes: to draw on.
        lower, middle, upper: ends and medians, (m,).
        observed: cells of the same column, whose median and middle 90 % are a band, (n,).
        level: of the intervals.
        unit: of the values.

    Returns:
        The axes.

    Raises:
        ValueError: no cell that is known, other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = intervals_by_cell(Figure().add_subplot(), [1.0, 0.0], [2.0, 1.0], [3.0, 2.0])
        >>> axes.lines[0].get_ydata().tolist()
        [1.0, 2.0]
    """
    low, mid, high = _known(lower, middle, upper)
    order = np.argsort(mid, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(MOST, len(order))).astype(int)]
    at = np.linspace(1, len(order), len(shown))
    axes.vlines(at, low[shown], high[shown], color=BLUE, linewidth=1, alpha=0.6)
    label = f"imputed: median, {level:.0%} interval"
    axes.plot(at, mid[shown], "o", color=BLUE, markersize=3, label=label)
    seen = np.empty(0) if observed is None else np.asarray(observed, np.float64)
    seen = seen[np.isfinite(seen)]
    if len(seen):
        ends = np.quantile(seen, (0.05, 0.95))
        look: dict[str, Any] = {"color": GREY, "alpha": 0.2, "linewidth": 0}
        axes.axhspan(*ends, label="observed cells, middle 90%", **look)
    axes.set(xlabel="missing cell, sorted by median", ylabel=plain(unit, 40) or "value")
    legend_above(axes)
    return axes


def coverage_by_column(
    axes: Axes,
    names: Sequence[object],
    coverage: Mapping[int, npt.ArrayLike],
    hidden: npt.ArrayLike,
) -> Axes:
    """Draw the share of hidden cells in each interval, for each column, with a bar of two errors.

    The bar holds all shares p that are within two of their standard errors, √(p (1 - p) / n), of
    the share found. A bar that misses the dashed line, the share that there should be, is two
    standard errors or more away from it. Of more than 16 columns those with the most cells are
    drawn.

    References:
        Probable Inference, the Law of Succession, and Statistical Inference (Wilson, 1927).

    Arguments:
        axes: to draw on.
        names: of the columns, (d,).
        coverage: percent of an interval -> the share of cells in it, (d,); nan is left out.
        hidden: the number of cells, (d,).

    Returns:
        The axes.

    Raises:
        ValueError: no column with a coverage, other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> found = {50: [0.4], 90: [0.95]}
        >>> axes = coverage_by_column(Figure().add_subplot(), ["mass"], found, [20])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['50%', '90%']
    """
    shares = {level: np.asarray(each, float) for level, each in coverage.items()}
    count = np.asarray(hidden, dtype=np.float64)
    if any(each.shape != (len(names),) for each in (*shares.values(), count)):
        raise ValueError(
            f"coverage_by_column: expected {len(names)} shares and counts, got other lengths; give "
            "one for each name"
        )
    known = np.flatnonzero(np.all([np.isfinite(each) for each in shares.values()], 0))
    if not known.size:
        raise ValueError(
            "coverage: expected at least one column of numbers, got none; categories have no "
            "intervals"
        )
    chosen = np.sort(known[np.argsort(-count[known], kind="stable")[:COLUMNS]])
    at = np.arange(len(chosen))[::-1]
    for i, (level, each) in enumerate(shares.items()):
        colour, marker = colour_and_marker((0, 1, 4)[i % 3])
        error = _wilson_error(each[chosen], count[chosen])
        axes.axvline(level / 100, color=colour, linewidth=1, linestyle="--")
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": ""}
        y = at + 0.2 * (i - (len(shares) - 1) / 2)
        label = f"{level}%"
        axes.errorbar(each[chosen], y, xerr=error, markersize=5, label=label, **look)
    name_ticks(axes.yaxis, at, [names[i] for i in chosen])
    axes.set_ylim(-0.6, len(chosen) - 0.4)
    axes.set_xlim(-0.04, 1.04)
    axes.set(xlabel="share of hidden cells inside", ylabel="column")
    legend_above(axes, columns=3)
    legend: Any = axes.get_legend()
    legend.set_title("central interval, ± 2 se", {"size": 9})
    return axes


def _wilson_error(share: Floats, count: Floats, z: float = 2.0) -> Floats:
    """The lengths of the bars below and above a share, (2, n): Wilson's interval of z errors."""
    shrunk = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    variance = share * (1 - share) / count + z**2 / (4 * count**2)
    half = z * np.sqrt(variance) / (1 + z**2 / count)
    lengths = np.stack([share - shrunk + half, shrunk + half - share])
    return np.maximum(lengths, 0.0)  # rounding


def errors_by_column(
    axes: Axes, names: Sequence[object], errors: Mapping[str, npt.ArrayLike]
) -> Axes:
    """Draw the errors of several methods for each column.

    Arguments:
        axes: to draw on.
        names: of the columns, (d,).
        errors: name of a method -> its error in sd of the column, or the share of wrong
            categories, (d,); nan is left out.

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> errors = {"model": [0.5, 0.2], "mean": [1.0, 1.0]}
        >>> axes = errors_by_column(Figure().add_subplot(), ["a", "b"], errors)
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['model', 'mean']
    """
    values = {name: np.asarray(each, float) for name, each in errors.items()}
    if any(each.shape != (len(names),) for each in values.values()):
        raise ValueError(
            f"errors_by_column: expected {len(names)} errors, got other lengths; give one for each "
            "name"
        )
    count = min(len(names), COLUMNS)
    at = np.arange(count)[::-1]
    for i, (name, each) in enumerate(values.items()):
        colour, marker = colour_and_marker((0, 1, 4)[i % 3])
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": ""}
        axes.plot(each[:count], at, markersize=6, label=plain(name), **look)
    for line in at:
        axes.axhline(line, color=GREY, linewidth=0.4, zorder=0)
    name_ticks(axes.yaxis, at, names[:count])
    axes.set_ylim(-0.6, count - 0.4)
    axes.set_xlim(0, None)
    axes.set(xlabel="error in sd, or share of\nwrong categories", ylabel="column")
    legend_above(axes)
    return axes


def _known(*arrays: npt.ArrayLike) -> list[Floats]:
    """The cells of which all numbers are known."""
    cells = [np.asarray(each, dtype=np.float64).ravel() for each in arrays]
    if len({each.shape for each in cells}) > 1:
        raise ValueError(
            f"cells: expected arrays of one length, got {[len(each) for each in cells]}; give one "
            "number for each cell"
        )
    is_known = np.all([np.isfinite(each) for each in cells], axis=0)
    if not is_known.any():
        raise ValueError(
            f"cells: expected at least one with numbers, got none among {len(is_known)}; "
            "categories have no intervals"
        )
    return [each[is_known] for each in cells]
