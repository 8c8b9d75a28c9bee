"""Where the cells of a table are missing."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from pyro_vae.figure_style import ORANGE, short

MOST = 30
"""Columns whose names have room."""


def missing_map(
    axes: Axes, missing: npt.ArrayLike, *, columns: Sequence[str] | None = None
) -> Axes:
    """Draw the missing cells of a table, a line for each column and rows from left to right.

    Arguments:
        axes: to draw on.
        missing: which cells are missing, (n, d).
        columns: the names of the columns, d of them; up to 30 are written.

    Returns:
        The axes.

    Raises:
        ValueError: no matrix, or other names than columns.

    Example:
        >>> from matplotlib.figure import Figure
        >>> cells = np.random.default_rng(0).random((50, 2)) < 0.1
        >>> axes = missing_map(Figure().add_subplot(), cells, columns=["age", "height"])
        >>> axes.get_xlabel(), [text.get_text() for text in axes.get_yticklabels()]
        ('row', ['age', 'height'])
    """
    cells = np.asarray(missing, dtype=bool)
    if cells.ndim != 2 or not cells.size:
        raise ValueError(
            f"missing: expected a matrix (n, d), got shape {cells.shape}; flatten rows"
        )
    if columns is not None and len(columns) != cells.shape[1]:
        raise ValueError(
            f"columns: expected {cells.shape[1]} names, got {len(columns)}; give one for each "
            "column"
        )
    n, d = cells.shape
    shown = np.ma.masked_array(np.ones((d, n)), ~cells.T)
    extent = (0.5, n + 0.5, d - 0.5, -0.5)
    axes.imshow(
        shown,
        cmap=ListedColormap([ORANGE]),
        aspect="auto",
        interpolation="nearest",
        extent=extent,
    )
    for line in np.arange(0.5, d - 1):
        axes.axhline(line, color="#999999", linewidth=0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    if columns is not None and d <= MOST:
        axes.set_yticks(range(d), [short(name, 18) for name in columns])
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
    else:
        axes.set_ylabel("column")
    axes.set_xlabel("row")
    return axes
