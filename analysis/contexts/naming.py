"""Contexts as text: names of their numbers, cells, and a context in a sentence."""

import numpy as np

from pyro_vae.data.cell_text import cell_text
from pyro_vae.data.columns import Column
from pyro_vae.spec import Context

NAMED = 4
"""Numbers of a context that are named in a sentence."""


def names_in(given: Context) -> tuple[str, ...]:
    """A name for each number of a context.

    Example:
        >>> names_in(Context(dim=2))
        ('c[0]', 'c[1]')
    """
    if given.table is not None:
        return given.table.names
    return tuple(f"c[{position}]" for position in range(given.size))


def cells_of_context(given: Context, numbers: np.ndarray) -> list[str]:
    """The numbers of one context, (C,), as text: levels, times, or numbers.

    Example:
        >>> cells_of_context(Context(dim=2), np.array([0.5, 3.0]))
        ['0.5', '3']
    """
    columns = tuple(Column(name=name, kind="normal") for name in names_in(given))
    if given.table is not None:
        columns = given.table.modelled
    return [cell_text(*pair) for pair in zip(columns, numbers.tolist(), strict=True)]


def in_words(given: Context, numbers: np.ndarray) -> str:
    """One context, (C,), in a sentence; of many numbers the first.

    Example:
        >>> in_words(Context(dim=2), np.array([0.5, 3.0]))
        'c[0] = 0.5, c[1] = 3'
    """
    cells = zip(names_in(given), cells_of_context(given, numbers), strict=True)
    named = [f"{name} = {cell}" for name, cell in cells]
    more = ["…"] if len(named) > NAMED else []
    return ", ".join([*named[:NAMED], *more])
