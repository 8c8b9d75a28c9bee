"""Names of columns, rows and models in a picture: shortened, and no formulas."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axis import Axis

from pyro_vae.figure_style import short


def plain(name: object, most: int = 24) -> str:
    r"""A name for a legend, which a dollar doesn't make a formula.

    Example:
        >>> print(plain("price in $"))
        price in \$
    """
    return short(str(name), most).replace("$", r"\$")


def name_ticks(
    axis: Axis,
    at: Iterable[Any],
    names: Sequence[object],
    *,
    most: int = 20,
    room: int | None = None,
) -> None:
    """Write names at the ticks of an axis.

    Arguments:
        axis: to write on.
        at: positions, (n,).
        names: n of them.
        most: characters of a name.
        room: characters that all names together have side by side; longer ones are turned by 90
            degrees. None leaves them level.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> name_ticks(axes.yaxis, [0, 1], ["a_b", "price in $"])
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['a_b', 'price in $']
    """
    shown = [short(str(name), most) for name in names]
    fits = room is None or sum(map(len, shown)) <= room
    axis.set_ticks(list(at), shown, rotation=0 if fits else 90)
    for text in axis.get_ticklabels():
        text.set_parse_math(False)  # a name is no formula, whatever its characters
