"""What a result is drawn as: panels, each of which draws on one axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vae.analysis.figures.images import guess_image_shape

WIDTH, HEIGHT = 4.4, 3.4
FEW = 64
"""Numbers of a flat row from which on it is taken for a picture."""


class Panel(NamedTuple):
    """One axes of a figure.

    Attributes:
        draw: draws on it.
        width, height: in inches, where the figure is made for it.
    """

    draw: Callable[[Axes], object]
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class Layout:
    """The panels of a result.

    Attributes:
        panels: in order, the one that says most first.
        across: panels side by side, at most.
    """

    panels: Sequence[Panel]
    across: int = 3

    def figure(self) -> tuple[Figure, list[Axes]]:
        """A figure with an empty axes for each panel.

        Example:
            >>> figure, axes = Layout([Panel(lambda axes: axes), Panel(lambda axes: axes)]).figure()
            >>> len(axes), figure.get_size_inches().tolist()
            (2, [8.8, 3.4])
        """
        across = min(self.across, len(self.panels))
        down = math.ceil(len(self.panels) / across)
        widths = [
            max(one.width for one in self.panels[i::across]) for i in range(across)
        ]
        lines = [self.panels[i * across : (i + 1) * across] for i in range(down)]
        heights = [max(one.height for one in line) for line in lines]
        size = (sum(widths), sum(heights))
        figure = Figure(figsize=size, layout="constrained")
        ratios: dict[str, Any] = {"width_ratios": widths, "height_ratios": heights}
        grid = figure.add_gridspec(down, across, **ratios)
        places = range(len(self.panels))
        axes = [figure.add_subplot(grid[i // across, i % across]) for i in places]
        return figure, axes


def picture_shape(
    shape: tuple[int, ...], given: Sequence[int] | None
) -> tuple[int, ...] | None:
    """The shape of a row as a picture, or None: short flat rows are those of a table.

    Example:
        >>> picture_shape((64,), None), picture_shape((16,), None), picture_shape((16,), (4, 4))
        ((8, 8), None, (4, 4))
    """
    if given is not None:
        return tuple(given)
    is_short = len(shape) == 1 and shape[0] < FEW
    return None if is_short else guess_image_shape(shape)


@singledispatch
def layout_of(result: Any) -> Layout:
    """How a result is drawn.

    The functions for its classes are registered in the other files of this folder. Their options
    are keyword arguments.

    Raises:
        ValueError: an object that can't be drawn.
    """
    names = sorted(kind.__name__ for kind in layout_of.registry if kind is not object)
    remedy = "draw arrays with the functions of pyro_vae.analysis.figures.plots"
    if hasattr(result, "model") and hasattr(result, "guide"):
        remedy = "ask the model first, such as pv.plot(pv.latent_use(vae, x))"
    raise ValueError(
        f"plot: expected a result, one of {', '.join(names)}, got "
        f"{type(result).__name__}; {remedy}"
    )
