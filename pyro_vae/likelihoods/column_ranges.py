"""Columns in few words, for messages."""

from collections.abc import Sequence


def ranges(columns: Sequence[int]) -> str:
    """Columns in few words.

    Example:
        >>> ranges([0, 1, 2, 5])
        '0:3, 5'
    """
    runs: list[list[int]] = []
    for column in columns:
        if runs and column == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([column, column + 1])
    return ", ".join(_run(first, end) for first, end in runs)


def _run(first: int, end: int) -> str:
    if end == first + 1:
        return str(first)
    return f"{first}:{end}"
