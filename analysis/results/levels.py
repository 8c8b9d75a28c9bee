"""The check of levels of intervals and tests, and of other shares."""

from numbers import Real
from typing import Any


def require_share(value: Any, name: str = "level", *, usual: float = 0.9) -> None:
    """Raise ValueError unless this is a number between 0 and 1, without these.

    Arguments:
        value: what was passed.
        name: of the argument, for the message.
        usual: what to take instead.

    Raises:
        ValueError: percent, a bool, text, nan.

    Example:
        >>> require_share(0.5)
        >>> require_share(95)
        Traceback (most recent call last):
        ValueError: level: expected a number between 0 and 1, got 95; 0.9 is usual
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1:
        raise ValueError(
            f"{name}: expected a number between 0 and 1, got {value!r}; {usual} is usual"
        )
