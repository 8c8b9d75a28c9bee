"""Draw a figure as a file of pixels does. The canvas of a bare `Figure` draws nothing at all."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw(figure: Figure) -> None:
    """Lay the figure out and draw it, at the resolution of the files."""
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()


def nothing_cut_off(figure: Figure) -> bool:
    """Every text and line lies within the figure, to a dot."""
    draw(figure)
    inner = figure.get_tightbbox()
    outer = figure.bbox_inches
    within = (inner.min >= outer.min - 0.01) & (inner.max <= outer.max + 0.01)
    return bool(within.all())
