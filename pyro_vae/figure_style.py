"""Colours and texts of all figures, and the arrays that they draw."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

# Ten colours told apart with any kind of colour vision (Petroff, Accessible color sequences for
# data visualization, 2021); each has a marker too. The pair and the grey are Okabe and Ito's.
COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
MARKERS = "os^DvP*X<>"
BLUE = "#0072b2"
ORANGE = "#d55e00"
GREY = "#666666"


def colour_and_marker(group: int) -> tuple[str, str]:
    """The look of a group; from the eleventh on a colour comes again, with another marker.

    Example:
        >>> colour_and_marker(0), colour_and_marker(10)
        (('#3f90da', 'o'), ('#3f90da', 's'))
    """
    cycle, colour = divmod(group, len(COLOURS))
    marker = (group + cycle) % len(MARKERS)
    return COLOURS[colour], MARKERS[marker]


def short(name: str, most: int = 24) -> str:
    """A name of at most so many characters.

    Example:
        >>> short("the name of a very wide column")
        'the name of a very wide…'
    """
    return name if len(name) <= most else f"{name[: most - 1]}…"


def dense(x: Any) -> np.ndarray:
    """The array to draw; a SciPy sparse matrix becomes dense.

    Example:
        >>> dense([[0.0, 1.0]]).shape
        (1, 2)
    """
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x)


def legend_above(axes: Axes, columns: int = 1) -> None:
    """Draw the legend above the axes, where it covers no curve.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> _ = axes.plot([0, 1], label="a line")
        >>> legend_above(axes)
        >>> len(axes.get_legend().get_texts())
        1
    """
    look: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
    axes.legend(
        edgecolor="none", framealpha=0, borderaxespad=0.3, ncols=columns, **look
    )
