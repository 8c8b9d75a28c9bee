"""Draw a figure as a file of pixels does. The canvas of a bare `Figure` draws nothing at all."""

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

DOT = 1.0
"""Pixels by which boxes of texts may overlap: they have a margin."""


def draw(figure: Figure) -> None:
    """Lay the figure out and draw it, at the resolution of the files."""
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()


def nothing_cut_off(figure: Figure) -> bool:
    """Every text and line lies within the figure, to a dot."""
    draw(figure)
    return _is_within(figure)


def _is_within(figure: Figure) -> bool:
    inner = figure.get_tightbbox()
    outer = figure.bbox_inches
    within = (inner.min >= outer.min - 0.01) & (inner.max <= outer.max + 0.01)
    return bool(within.all())


def _not_drawn(axes: Axes) -> Iterator[Text]:
    """Texts of ticks beyond the ends of an axis, or of axes that are switched off."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        margin = 1e-9 * (high - low)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            is_within = low - margin <= tick.get_loc() <= high + margin
            if not axes.axison or not is_within:
                yield from (tick.label1, tick.label2)
        if not axes.axison:
            yield from (axis.label, axis.offsetText)


def shown_texts(figure: Figure) -> list[Text]:
    """The texts that are seen, of a figure that was laid out."""
    hidden = {id(text) for axes in figure.axes for text in _not_drawn(axes)}
    every: list[Text] = figure.findobj(Text)  # type: ignore[assignment]
    return [
        text
        for text in dict.fromkeys(every)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def illegible(figure: Figure) -> list[str]:
    """What can't be read in a figure, which is laid out: texts that overlap or are cut off."""
    figure.set_dpi(120)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    boxes = [
        (text.get_text(), text.get_window_extent()) for text in shown_texts(figure)
    ]
    width, height = figure.bbox.size
    found = [
        f"{name!r} is cut off"
        for name, box in boxes
        if min(box.x0, box.y0) < -DOT or box.x1 > width + DOT or box.y1 > height + DOT
    ]
    for (name, box), (other, its) in combinations(boxes, 2):
        across = min(box.x1, its.x1) - max(box.x0, its.x0)
        down = min(box.y1, its.y1) - max(box.y0, its.y0)
        if across > DOT and down > DOT:
            found.append(f"{name!r} overlaps {other!r}")
    if not _is_within(figure):
        found.append("something is cut off")
    return found
