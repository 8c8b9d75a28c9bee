"""Labels of rows as a few groups that can be told apart in a picture."""

from collections import Counter

import numpy as np
import numpy.typing as npt

__all__ = ["by_label"]

MOST = 40
"""Groups in one picture, at most."""
RANGES = 10
"""Groups of a number that takes more than twice as many values."""

Groups = dict[str, npt.NDArray[np.bool_]]


def by_label(labels: npt.ArrayLike | None, rows: int) -> Groups:
    """The rows of each label, in order of the labels.

    Labels are text, whole numbers, or ten ranges of a number that takes many values.

    Arguments:
        labels: one for each row, (rows,), of any type; None for one group without a name.
        rows: how many there are.

    Returns:
        Text of a label -> which rows have it; the rarer ones of more than 40 are one group,
        "others".

    Raises:
        ValueError: when there is not one label for each row.

    Example:
        >>> list(by_label(["b", "a", "b"], 3))
        ['a', 'b']
        >>> list(by_label(np.arange(100) / 3, 100))[:2]
        ['0 to 3', '3.33 to 6.33']
    """
    if labels is None:
        return {"": np.ones(rows, dtype=bool)}
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise ValueError(
            f"labels: expected one for each row, shape ({rows},), got {values.dtype} of shape "
            f"{values.shape}; give a number or a name for each row"
        )
    if values.dtype.kind == "f" and len(np.unique(values)) > 2 * RANGES:
        return _ranges(values)
    texts = np.array([_text(value) for value in values.tolist()], dtype=object)
    names = _commonest(texts, _in_order(values))
    groups = {text: texts == text for text in names}
    others = ~np.any(list(groups.values()), axis=0)
    if others.any():
        groups["others"] = others
    return groups


def _text(value: object) -> str:
    """A label in words; 3.0 is a class number that a table with gaps has made a float."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _in_order(values: npt.NDArray[np.generic]) -> list[str]:
    """The different labels, numbers by size and others by their letters."""
    try:
        different = np.unique(values).tolist()
    except TypeError:  # of several types
        different = sorted(set(values.tolist()), key=str)
    return list(dict.fromkeys(map(_text, different)))


def _commonest(texts: npt.NDArray[np.object_], ordered: list[str]) -> list[str]:
    if len(ordered) <= MOST:
        return ordered
    chosen = {text for text, _ in Counter(texts.tolist()).most_common(MOST - 1)}
    return [text for text in ordered if text in chosen]


def _ranges(values: npt.NDArray[np.floating]) -> Groups:
    """Ten groups with about the same number of rows, and the rows without a number."""
    is_known = np.isfinite(values)
    known = np.flatnonzero(is_known)
    ordered = known[np.argsort(values[known], kind="stable")]
    groups = {}
    for part in np.array_split(ordered, RANGES):
        first = values[part[0]]
        last = values[part[-1]]
        groups[f"{first:.3g} to {last:.3g}"] = np.isin(np.arange(len(values)), part)
    if not is_known.all():
        groups["unknown"] = ~is_known
    return groups
