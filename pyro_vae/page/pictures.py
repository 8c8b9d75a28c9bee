"""Figures as inline SVG, whose ink and paper follow the page from light to dark."""

import html
import io
import re
import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vae.analysis.figures.images import image_grid
from pyro_vae.figure_style import BLUE, GREY, ORANGE

INKS = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREY: "var(--grey)",
}
"""Colours of figures that are others on a dark page."""
WIDTH, WIDE = 3.2, 4.2
"""Inches of a picture, and of one that has more room: a phone shows their text near its size."""
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def plot(
    draw: Callable[[Axes], object],
    alt: str,
    *,
    width: float = WIDTH,
    height: float = 2.1,
) -> str:
    """A picture drawn on one axes.

    Arguments:
        draw: draws on the axes.
        alt: what the picture shows, for those who can't see it.
        width, height: in inches.

    Example:
        >>> picture = plot(lambda axes: axes.plot([0, 1]), "a line")
        >>> picture.startswith("<svg") and 'aria-label="a line"' in picture
        True
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    shrink(figure)
    return svg(figure, alt)


def shrink(figure: Figure) -> None:
    """Texts of a small picture: 9 points for labels, 8 for ticks and legends."""
    for axes in figure.axes:
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
        axes.tick_params(labelsize=8)
        legend = axes.get_legend()
        for text in legend.get_texts() if legend else ():
            text.set_fontsize(8)
    for whole in figure.legends:
        whole.get_title().set_fontsize(8)
        for text in whole.get_texts():
            text.set_fontsize(8)


def images(
    rows: Any,
    alt: str,
    *,
    image_shape: Sequence[int],
    columns: int = 5,
    limits: tuple[float, float] | None = None,
) -> str:
    """Rows as pictures on one scale."""
    figure = image_grid(rows, image_shape=image_shape, columns=columns, limits=limits)
    return svg(figure, alt)


def svg(figure: Figure, alt: str) -> str:
    """A figure as inline SVG without metadata, with ids of its own.

    Arguments:
        figure: it is drawn without its background.
        alt: what it shows.
    """
    stream = io.StringIO()
    # the names of ids are random without a salt, and text would need a font
    options: Any = {"svg.hashsalt": "page", "svg.fonttype": "path"}
    with rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from font")
        figure.savefig(
            stream, format="svg", transparent=True, dpi=150, metadata=NO_METADATA
        )
    return inlined(stream.getvalue(), alt)


def inlined(text: str, alt: str) -> str:
    """An SVG document as an element of a page.

    Example:
        >>> inlined('<?xml version="1.0"?><svg height="9pt" version="1.1"><g id="a"/></svg>', "b")
        '<svg role="img" aria-label="b" fill="currentColor"><g id="...-a"/></svg>'
    """
    body = text[text.index("<svg") :].strip()
    head, _, inside = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    label = html.escape(alt)
    attributes = ['role="img"', f'aria-label="{label}"', 'fill="currentColor"']
    attributes += [box[0]] if box else []
    prefix = "s" + sha256(f"{alt}{body}".encode()).hexdigest()[:8]
    inside = inside.replace("xlink:href", "href").replace(
        'href="#', f'href="#{prefix}-'
    )
    inside = inside.replace("url(#", f"url(#{prefix}-")
    inside = re.sub(r'\bid="', f'id="{prefix}-', inside)
    for colour, ink in INKS.items():
        inside = re.sub(f"(?<=: ){colour}", ink, inside)
    inside = re.sub(r"\s*\n\s*", "\n", inside)
    return f"<svg {' '.join(attributes)}>{inside}"
