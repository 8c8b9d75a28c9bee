"""Estimates with their errors, one below the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.names import name_ticks
from pyro_vae.figure_style import BLUE, GREY

__all__ = ["comparison_forest", "forest"]

Floats = npt.NDArray[np.float64]


def forest(
    axes: Axes,
    names: Sequence[object],
    estimate: npt.ArrayLike,
    ends: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]] = (),
    *,
    reference: float | None = None,
    xlabel: str = "",
) -> Axes:
    """Draw estimates as points with intervals, one line for each, the first at the top.

    Arguments:
        axes: to draw on.
        names: what is estimated, (n,).
        estimate: (n,).
        ends: lower and upper ends, each (n,), of one interval or of several, the widest first:
            inner ones are drawn thicker. nan has no bar.
        reference: a number to mark.
        xlabel: the unit of the estimates.

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ends = [([0.0, 1.0], [2.0, 5.0])]
        >>> axes = forest(Figure().add_subplot(), ["a", "b"], [1.0, 3.0], ends, xlabel="g")
        >>> [segment.tolist() for segment in axes.collections[0].get_segments()]
        [[[0.0, 1.0], [2.0, 1.0]], [[1.0, 0.0], [5.0, 0.0]]]
    """
    at = np.arange(len(names))[::-1]
    middle = np.asarray(estimate, dtype=np.float64)
    bars = [np.array(pair, dtype=np.float64) for pair in ends]
    shapes = [middle.shape, *(each.shape[1:] for each in bars)]
    if any(shape != at.shape for shape in shapes):
        raise ValueError(
            f"forest: expected {len(names)} estimates and ends, got shapes {shapes}; give one for "
            "each name"
        )
    if reference is not None:
        axes.axvline(reference, color=GREY, linewidth=1, linestyle="--")
    for order, (lower, upper) in enumerate(bars):
        look: dict[str, Any] = {"color": BLUE, "linewidth": 1.4 + 2.4 * order}
        axes.hlines(at, lower, upper, zorder=3, **look)
    # hollow and below the bars: short ones would be hidden
    axes.plot(middle, at, "o", color=BLUE, markersize=7, markerfacecolor="white")
    name_ticks(axes.yaxis, at, names, most=30)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(xlabel)
    return axes


def comparison_forest(
    axes: Axes,
    names: Sequence[object],
    difference: npt.ArrayLike,
    se: npt.ArrayLike,
) -> Axes:
    """Draw mean log p(x) of models less that of the best: thick is ± 1 standard error, thin ± 2.

    Arguments:
        axes: to draw on.
        names: of the models, the best first, (n,).
        difference: in nats per row, 0 for the best, (n,).
        se: standard errors of the paired differences, (n,).

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = comparison_forest(Figure().add_subplot(), ["a", "b"], [0.0, -3.0], [0.0, 1.0])
        >>> [bars.get_segments()[1][:, 0].tolist() for bars in axes.collections]
        [[-5.0, -1.0], [-4.0, -2.0]]
    """
    middle = np.asarray(difference, dtype=np.float64)
    error = np.asarray(se, dtype=np.float64)
    ends = [(middle - 2 * error, middle + 2 * error), (middle - error, middle + error)]
    xlabel = "log p(x) - best, nats\nper row (± 1, 2 se)"
    forest(axes, names, middle, ends, reference=0.0, xlabel=xlabel)
    axes.set_ylabel("model")
    return axes
