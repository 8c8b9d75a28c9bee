"""The findings of a check-up, one below the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.names import name_ticks
from pyro_vae.figure_style import BLUE, GREY, ORANGE, short

__all__ = ["verdict_chart"]

LOOKS = {
    "pass": (BLUE, "o"),
    "warn": (ORANGE, "^"),
    "fail": ("#bd1f01", "X"),
    "none": (GREY, "_"),
}


def verdict_chart(
    axes: Axes, names: Sequence[str], verdicts: Sequence[str], values: Sequence[str]
) -> Axes:
    """Draw the verdict of each finding as a marker in its column, with the number beside it.

    Arguments:
        axes: to draw on.
        names: of the findings, (n,).
        verdicts: "pass", "warn", "fail" or "none", (n,).
        values: what was measured, as text with its unit, (n,).

    Returns:
        The axes.

    Raises:
        ValueError: no findings, other lengths or verdicts.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = verdict_chart(Figure().add_subplot(), ["k-hat"], ["pass"], ["0.2"])
        >>> [text.get_text() for text in axes.texts]
        ['0.2']
    """
    lengths = {len(names), len(verdicts), len(values)}
    unknown = [verdict for verdict in verdicts if verdict not in LOOKS]
    if lengths != {len(names)} or not len(names) or unknown:
        raise ValueError(
            f"verdict_chart: expected {len(names)} verdicts among {list(LOOKS)} and values, got "
            f"{list(verdicts)} and {len(values)} values; pass those of one check-up"
        )
    at = np.arange(len(names))[::-1]
    kinds = list(LOOKS)
    for kind, (colour, marker) in LOOKS.items():
        chosen = [i for i, verdict in enumerate(verdicts) if verdict == kind]
        where = [kinds.index(kind)] * len(chosen)
        axes.plot(where, at[chosen], marker, color=colour, markersize=8, mew=2)
    for line, value in zip(at, values, strict=True):
        axes.hlines(line, -0.5, len(kinds) - 0.5, color=GREY, linewidth=0.3, zorder=0)
        look: dict[str, Any] = {"va": "center", "fontsize": 8, "parse_math": False}
        axes.text(len(kinds) - 0.4, line, short(value, 40), **look)
    name_ticks(axes.yaxis, at, names, most=34)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.tick_params(length=0)
    axes.set_xlim(-0.6, len(kinds) + 2.8)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("verdict, and what was measured", loc="left")
    return axes
