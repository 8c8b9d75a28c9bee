"""Histograms of the columns of a table, data against samples."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.names import name_ticks
from pyro_vae.figure_style import BLUE, ORANGE, dense, short

Floats = npt.NDArray[np.float64]
MOST = 16
"""Columns that are drawn."""
COUNTS = 40
"""Range of whole numbers up to which each number has a bin of its own."""
NAMED = 12
"""Levels of a column up to which each has its name below its bin."""
SIDE_BY_SIDE = 24
"""Characters of all names of levels that have room side by side."""


def marginals(
    data: npt.ArrayLike,
    samples: npt.ArrayLike,
    *,
    columns: Sequence[str] | None = None,
    levels: Mapping[int, Sequence[Any]] | None = None,
    units: Mapping[int, str] | None = None,
) -> Figure:
    """Draw the histogram of each column of a table, data against samples, for the first 16 columns.

    Both have the same bins, which cover the data: what the model draws beyond them counts in the
    outermost ones. Missing values (nan) are left out.

    Arguments:
        data: the table, (n, d).
        samples: rows drawn from the model, (m, d).
        columns: the names of the columns, d of them.
        levels: the names of the categories of a column by its position; its cells are positions
            among them, from 0. Each level has a bin, and up to 12 have their names.
        units: what is written below a column, by its position, such as "days since 2020-01-07".

    Returns:
        The figure.

    Raises:
        ValueError: when the tables are not two matrices with the same columns, or a name is
            missing.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> len(marginals(x[:100], x[100:], columns=["age", "height", "weight"]).axes)
        3
    """
    first = dense(data).astype(np.float64)
    second = dense(samples).astype(np.float64)
    are_tables = first.ndim == second.ndim == 2 and first.size > 0 and second.size > 0
    if not are_tables or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"marginals: expected shapes (n, d) and (m, d), got {first.shape} and {second.shape}; "
            "flatten rows"
        )
    names = _names(columns, first.shape[1])
    categories = dict(levels or {})
    count = min(MOST, len(names))
    across = min(4, count)
    down = math.ceil(count / across)
    width = max(4.0, 2.6 * across)  # the legend needs 4 inches
    height = 1.9 * down + 0.7
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for i, axes in enumerate(panels[:count]):
        _panel(axes, first[:, i], second[:, i], names[i], categories.get(i, ()))
        panels[i].set_xlabel((units or {}).get(i, ""), fontsize=8, parse_math=False)
    for axes in panels[count:]:
        axes.remove()
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=2, frameon=False)
    figure.supylabel("share of rows", fontsize=10)
    if count < len(names):
        figure.supxlabel(f"the first {count} of {len(names)} columns", fontsize=10)
    return figure


def _names(columns: Sequence[str] | None, count: int) -> list[str]:
    if columns is None:
        return [f"column {i}" for i in range(count)]
    names = list(columns)
    if len(names) != count:
        raise ValueError(
            f"columns: expected {count} names, got {len(names)}: {names}; give one for each column"
        )
    return names


def _panel(
    axes: Axes, data: Floats, samples: Floats, name: str, levels: Sequence[Any]
) -> None:
    """One column: the data filled, the samples as a line."""
    data = data[np.isfinite(data)]
    samples = samples[np.isfinite(samples)]
    axes.set_title(short(name), fontsize=10, parse_math=False)
    axes.tick_params(labelsize=8)
    edges = _edges(data if data.size else np.zeros(1), len(levels))
    if 0 < len(levels) <= NAMED:
        places = range(len(levels))
        name_ticks(axes.xaxis, places, levels, most=12, room=SIDE_BY_SIDE)
    elif edges[1] - edges[0] == 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    look: dict[str, Any] = {
        "label": "data",
        "fill": True,
        "color": BLUE,
        "alpha": 0.45,
        "linewidth": 1.5,
    }
    axes.stairs(shares(data, edges), edges, **look)
    look = {
        "label": "samples",
        "fill": False,
        "color": ORANGE,
        "alpha": 1,
        "linewidth": 1.5,
    }
    axes.stairs(shares(samples, edges), edges, **look)


def shares(values: Floats, edges: Floats) -> Floats:
    """The share of the values in each bin; those outside count in the outermost ones.

    Example:
        >>> shares(np.array([0.5, 1.5, 1.7, 9.0]), np.array([0.0, 1.0, 2.0]))
        array([0.25, 0.75])
    """
    inside = np.clip(values, edges[0], edges[-1])
    counts, _ = np.histogram(inside, bins=edges)
    found: Floats = counts / max(len(values), 1)
    return found


def number_of_bins(values: int, least: int, most: int) -> int:
    """√n, the bins of a histogram of n values, within limits.

    Example:
        >>> [number_of_bins(n, least=5, most=30) for n in (4, 100, 10_000)]
        [5, 10, 30]
    """
    return min(max(math.isqrt(values), least), most)


def _edges(data: Floats, levels: int) -> Floats:
    """The edges of bins: one for each level, or each count of a small range, else ten to thirty."""
    if levels:
        return np.arange(-0.5, levels)
    low = data.min()
    high = data.max()
    is_whole = np.array_equal(data, np.round(data))
    if is_whole and high - low <= COUNTS:
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 1)
    bins = number_of_bins(data.size, least=10, most=30)
    return np.linspace(low, high if high > low else low + 1, 1 + bins)
