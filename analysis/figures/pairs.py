"""Pairs of columns: the data below the diagonal, draws of a model above it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.histograms import shares
from pyro_vae.analysis.figures.names import plain
from pyro_vae.figure_style import BLUE, ORANGE, legend_above

__all__ = ["pair_cell", "pair_plot"]

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.ArrayLike]
POINTS = 1000
"""Rows that are drawn of each, at most."""
BINS = 30


def pair_plot(
    axes: npt.NDArray[Any], data: Columns, draws: Columns
) -> npt.NDArray[Any]:
    """Draw each pair of columns: the data below the diagonal in blue, the model above in orange.

    The diagonal has the histogram of both. A pair above is the mirror image of the one below, so
    that what depends on each other does so in both. Axes show the middle 99 % of the data.

    Arguments:
        axes: to draw on, (d, d), as `figure.subplots(d, d)` gives them.
        data: the columns by name, d of them, each (n,); nan is missing.
        draws: those of drawn rows, each (m,).

    Returns:
        The axes.

    Raises:
        ValueError: other names, or another number of axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = np.random.default_rng(0).normal(size=(4, 50))
        >>> names = ["age", "height"]
        >>> drawn = pair_plot(
        ...     Figure().subplots(2, 2), dict(zip(names, x[:2])), dict(zip(names, x[2:]))
        ... )
        >>> drawn[1, 0].get_xlabel(), drawn[1, 0].get_ylabel()
        ('age', 'height')
    """
    names = list(data)
    grid = np.asarray(axes, dtype=object)
    if list(draws) != names or grid.shape != (len(names), len(names)):
        raise ValueError(
            f"pair_plot: expected the columns {names} in both and axes ({len(names)}, "
            f"{len(names)}), got {list(draws)} and axes {grid.shape}; pass as many"
        )
    for row in range(len(names)):
        for column in range(len(names)):
            pair_cell(grid[row, column], data, draws, row, column)
    return axes


def pair_cell(axes: Axes, data: Columns, draws: Columns, row: int, column: int) -> Axes:
    """Draw one place of a pair plot.

    Arguments:
        axes: to draw on.
        data, draws: as for `pair_plot`.
        row, column: of the place: y is the column of that number, and x.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> table = {"age": [1.0, 2.0], "height": [3.0, 4.0]}
        >>> axes = pair_cell(Figure().add_subplot(), table, table, 1, 0)
        >>> axes.collections[0].get_offsets().tolist()
        [[1.0, 3.0], [2.0, 4.0]]
    """
    names = list(data)
    own = [np.asarray(data[names[i]], np.float64) for i in (column, row)]
    other = [np.asarray(draws[names[i]], np.float64) for i in (column, row)]
    low, high = _range(own[0])
    if row == column:
        _histograms(axes, own[0], other[0], np.linspace(low, high, BINS + 1))
    else:
        chosen, colour = (own, BLUE) if row > column else (other, ORANGE)
        size = float(np.clip(2000 / len(chosen[0]), 2, 12))
        look: dict[str, Any] = {"color": colour, "alpha": 0.5, "linewidths": 0}
        x, y = (each[:POINTS] for each in chosen)
        axes.scatter(x, y, s=size, **look)
        axes.set_ylim(*_range(own[1]))
    axes.set_xlim(low, high)
    _label(axes, names, row, column)
    if row == column == 0:
        legend_above(axes)
    return axes


def _histograms(axes: Axes, own: Floats, other: Floats, edges: Floats) -> None:
    """Densities of both, with what lies outside in the outermost bins."""
    for values, look in (
        (own, {"fill": True, "color": BLUE, "alpha": 0.45, "label": "data"}),
        (other, {"fill": False, "color": ORANGE, "linewidth": 1.4, "label": "model"}),
    ):
        known = values[np.isfinite(values)]
        kind: Any = look
        axes.stairs(shares(known, edges) / np.diff(edges), edges, **kind)
    axes.set_yticks([])


def _label(axes: Axes, names: Sequence[str], row: int, column: int) -> None:
    """Names and numbers at the outer axes only."""
    is_last = row == len(names) - 1
    is_first = column == 0
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.tick_params(labelsize=8, labelbottom=is_last, labelleft=is_first)
    if row != column:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    if is_last:
        axes.set_xlabel(plain(names[column], 16), fontsize=9)
    if is_first:
        axes.set_ylabel(plain(names[row], 16), fontsize=9)


def _range(values: Floats) -> tuple[float, float]:
    """The middle 99 % of the values and a margin."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(each) for each in np.quantile(known, (0.005, 0.995)))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
