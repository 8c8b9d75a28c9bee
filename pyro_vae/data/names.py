"""Names of columns: each one once, and short lists of them for messages."""

import itertools
from collections.abc import Sequence
from typing import Any


def distinct(given: Sequence[Any]) -> tuple[str, ...]:
    """Distinct names of columns: a blank one becomes its position, a repeated one gets a number.

    Example:
        >>> distinct(["a", " a ", "", "a (2)"])
        ('a', 'a (2)', 'column 2', 'a (2) (2)')
    """
    stripped = [str(name).strip() for name in given]
    used: set[str] = set()
    counts: dict[str, int] = {}
    names = []
    for position, name in enumerate(stripped):
        stem = name or f"column {position}"
        candidate = stem
        if candidate in used:
            for count in itertools.count(counts.get(stem, 2)):
                candidate = f"{stem} ({count})"
                if candidate not in used:
                    counts[stem] = count + 1
                    break
        used.add(candidate)
        names.append(candidate)
    return tuple(names)


def renaming(given: Sequence[Any], names: Sequence[str]) -> str | None:
    """A sentence on the columns whose names are not those that were given; None without any."""
    stripped = [str(name).strip() for name in given]
    renamed = [
        name for name, before in zip(names, stripped, strict=True) if name != before
    ]
    if not renamed:
        return None
    if renamed == [names[0]]:
        return f"the first column has no name, and is called {names[0]!r}"
    if len(renamed) == 1:
        return f"a column has no name, or that of another, and is called {renamed[0]!r}"
    return (
        f"{len(renamed)} of {len(names)} columns have no name or that of another, and are called "
        f"{shortened(renamed)}"
    )


def shortened(names: Sequence[Any], most: int = 8) -> str:
    """Names for a message: the first ones, and how many more there are.

    Example:
        >>> shortened(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(str(name)) for name in names[:most])
    if len(names) > most:
        return f"{shown} and {len(names) - most} more"
    return shown
