"""Arguments as users pass them: NumPy's numbers are numbers, and True is not 1."""

import operator
from typing import Any


def as_int(value: Any, name: str, at_least: int | None = None) -> int:
    """An integer of Python, NumPy or torch as an `int`.

    Arguments:
        value: what was passed.
        name: of the argument, for the message.
        at_least: the smallest value allowed; None allows all.

    Raises:
        ValueError: a bool, a float, text, or an integer below `at_least`.

    Example:
        >>> import numpy as np
        >>> as_int(np.int64(5), "num_particles", at_least=1)
        5
        >>> as_int(True, "num_particles", at_least=1)
        Traceback (most recent call last):
        ValueError: num_particles: expected an integer of at least 1, got True
    """
    number = _index(value)
    if number is None or (at_least is not None and number < at_least):
        expected = "an integer" if at_least is None else f"an integer of at least {at_least}"
        raise ValueError(f"{name}: expected {expected}, got {_shown(value) if number is None else number}")
    return number


def _index(value: Any) -> int | None:
    """The integer that a value is, or None; bools of NumPy and torch are recognised by their dtype."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        return None


def _shown(value: Any) -> str:
    """A value in a message: short, with the type of what is no plain number or text."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    text = repr(value)
    return text if len(text) <= 60 else f"an object of type {type(value).__name__}"
