"""What z tells of a context, and the random effects of its levels, with their errors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.forests import forest

WIDE = 3.0
"""Standard errors within which information is none."""


def information_forest(
    axes: Axes, names: Sequence[object], information: npt.ArrayLike, se: npt.ArrayLike
) -> Axes:
    """Draw a lower bound of I(z; c) for each column of a context, ± 3 standard errors, over 0.

    Arguments:
        axes: to draw on.
        names: of the columns, (n,).
        information: in nats, (n,).
        se: standard errors, (n,).

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = information_forest(Figure().add_subplot(), ["batch"], [0.4], [0.1])
        >>> axes.collections[0].get_segments()[0][:, 0].round(6).tolist()
        [0.1, 0.7]
    """
    middle = np.asarray(information, dtype=np.float64)
    error = WIDE * np.asarray(se, dtype=np.float64)
    ends = [(middle - error, middle + error)]
    xlabel = "bound of I(z; c) in nats (± 3 se)"
    return forest(axes, names, middle, ends, reference=0.0, xlabel=xlabel)


def effects_forest(
    axes: Axes,
    levels: Sequence[object],
    mean: npt.ArrayLike,
    ends: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    name: str = "",
    most: int = 40,
) -> Axes:
    """Draw the random effects of levels with their intervals, the largest at the top, over 0.

    Arguments:
        axes: to draw on.
        levels: their names, (n,).
        mean: of each effect, (n,).
        ends: of its interval, each (n,).
        name: of the column, for the label.
        most: levels that are drawn, those farthest from 0.

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ends = ([-1.0, 0.0], [1.0, 2.0])
        >>> axes = effects_forest(Figure().add_subplot(), ["a", "b"], [0.0, 1.0], ends)
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['b', 'a']
    """
    middle = np.asarray(mean, dtype=np.float64)
    far = np.argsort(-np.abs(middle), kind="stable")[:most]
    chosen = far[np.argsort(-middle[far], kind="stable")]
    own = [np.asarray(end, dtype=np.float64)[chosen] for end in ends]
    xlabel = f"effect of {name}" if name else "effect"
    named = [levels[one] for one in chosen]
    interval = [(own[0], own[1])]
    return forest(axes, named, middle[chosen], interval, reference=0.0, xlabel=xlabel)
