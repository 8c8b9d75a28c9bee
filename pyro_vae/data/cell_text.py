"""The number of a cell as text for people: a level, a time, or a number with a few digits."""

import math

import numpy as np

from pyro_vae.data.columns import RANDOM_EFFECT, Column


def cell_text(column: Column, number: float) -> str:
    """A cell of a column as it stands in a sentence.

    Arguments:
        column: what is known of it.
        number: of the model, nan where missing.

    Example:
        >>> cell_text(Column(name="species", kind="categorical", levels=("owl", "tit")), 1.0)
        'tit'
        >>> cell_text(Column(name="day", kind="normal", offset=2459000.0), 0.5)
        '2,459,000'
    """
    if math.isnan(number):
        return "missing"
    if column.kind == RANDOM_EFFECT and number == len(column.levels or ()):
        return "a new level"
    shown = column.decoded(np.array([number]))[0]
    if column.origin is not None:
        to_the = "D" if column.unit == "days" else "s"
        return str(shown.astype(f"datetime64[{to_the}]")).replace("T", " ")
    if column.levels is not None or column.unit is not None:
        return str(shown)
    return f"{shown:.4g}" if abs(shown) < 1e4 else f"{shown:,.0f}"
