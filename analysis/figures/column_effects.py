"""What columns do: to how unlikely a row is, and to which cells are missing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from scipy.special import expit

from pyro_vae.analysis.figures.names import name_ticks, plain
from pyro_vae.figure_style import BLUE, GREY, ORANGE, colour_and_marker, legend_above

__all__ = ["column_excess", "missing_curves"]

MOST = 10
"""Columns that are drawn."""


def column_excess(
    axes: Axes,
    names: Sequence[object],
    excess: npt.ArrayLike,
    *,
    row: object = "",
    most: int = MOST,
) -> Axes:
    """Draw by how many nats each column makes a row more or less likely than a usual one.

    Arguments:
        axes: to draw on.
        names: of the columns, and of whatever else has a share, (d,).
        excess: share of log p(x) less the usual share, in nats, (d,); below 0 is less likely.
        row: the name of the row.
        most: columns that are drawn, those with the largest excess.

    Returns:
        The axes.

    Raises:
        ValueError: no columns, or other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = column_excess(Figure().add_subplot(), ["a", "b"], [0.5, -9.0], row=7)
        >>> [float(bar.get_width()) for bar in axes.patches], axes.get_ylabel()
        ([-9.0, 0.5], 'column of row 7')
    """
    nats = np.asarray(excess, dtype=np.float64)
    if nats.shape != (len(names),) or not nats.size:
        raise ValueError(
            f"column_excess: expected one number for each of {len(names)} names, got shape "
            f"{nats.shape}; pass one row"
        )
    chosen = np.argsort(-np.abs(nats), kind="stable")[:most]
    chosen = chosen[np.argsort(nats[chosen], kind="stable")]
    at = np.arange(len(chosen))[::-1]
    colours = [ORANGE if nats[i] < 0 else BLUE for i in chosen]
    axes.barh(at, nats[chosen], 0.7, color=colours, alpha=0.75)
    axes.axvline(0, color=GREY, linewidth=1)
    name_ticks(axes.yaxis, at, [names[i] for i in chosen])
    axes.set_xlabel("log p(x) more than usual, nats")
    axes.set_ylabel(f"column of row {plain(row, 14)}" if str(row) else "column")
    return axes


def missing_curves(
    axes: Axes, names: Sequence[object], intercept: npt.ArrayLike, slope: npt.ArrayLike
) -> Axes:
    """Draw P(missing | x) = σ(intercept + slope d) of columns over d = (x - mean) / sd.

    Up to eight columns have a colour, those with the steepest curves; the others are grey.

    Arguments:
        axes: to draw on.
        names: of the columns, (m,).
        intercept: the logit at the mean, (m,).
        slope: of the logit over one sd, (m,); nan, of a level, is a flat line.

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = missing_curves(Figure().add_subplot(), ["income"], [0.0], [2.0])
        >>> round(float(axes.lines[0].get_ydata()[-1]), 3)  # σ(2 · 2.5)
        0.993
    """
    at_mean = np.asarray(intercept, dtype=np.float64)
    steep = np.nan_to_num(np.asarray(slope, dtype=np.float64))
    if at_mean.shape != (len(names),) or steep.shape != at_mean.shape:
        raise ValueError(
            f"missing_curves: expected {len(names)} intercepts and slopes, got shapes "
            f"{at_mean.shape} and {steep.shape}; pass those of one missing_mechanism"
        )
    at = np.linspace(-2.5, 2.5, 101)
    for rank, i in enumerate(np.argsort(-np.abs(steep), kind="stable")):
        look: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "label": "_"}
        if rank < 8:
            colour, marker = colour_and_marker(rank)
            look = {"color": colour, "marker": marker, "markevery": (10, 20)}
            look["label"] = plain(names[i], 16)
        axes.plot(at, expit(at_mean[i] + steep[i] * at), markersize=5, **look)
    axes.set(xlabel="(x - mean) / sd of observed cells", ylabel="P(missing | x)")
    axes.set_ylim(-0.02, 1.02)
    legend_above(axes, columns=2)
    return axes
