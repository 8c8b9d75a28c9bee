"""Labels of rows and features as coordinates; this file never imports torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def row_coordinate(rows: Sequence[Any] | None, count: int) -> npt.NDArray[Any]:
    """The labels of the rows as an array that netCDF can hold; integers from 0 by default.

    Numbers and times keep their type; labels of several parts, as those of a `pandas.MultiIndex`,
    and mixed ones are text.

    Raises:
        ValueError: another number of labels than rows.

    Example:
        >>> row_coordinate([("a", 1), ("a", 2)], 2).tolist()
        ['a, 1', 'a, 2']
    """
    if rows is None:
        return np.arange(count)
    labels = [label_text(one) if isinstance(one, tuple) else one for one in rows]
    if len(labels) != count:
        raise ValueError(
            f"rows: expected {count} labels, one for each row, got {len(labels)}; pass those of "
            "the rows in x"
        )
    import pandas as pd

    array = pd.Index(labels).to_numpy()
    if array.dtype.kind in "iufM":
        return array
    return np.array(list(map(str, labels)))


def feature_coordinate(columns: Sequence[Any], count: int | None) -> list[Any]:
    """The names of the features.

    Arguments:
        columns: a name or a number for each feature.
        count: their number; None where the data have no single dimension of features.

    Raises:
        ValueError: data without such a dimension; another number of names; a name twice.

    Example:
        >>> feature_coordinate(["a", "b"], 2)
        ['a', 'b']
    """
    got = f"got {len(columns)}: {list(columns)}; give one name for each feature"
    if count is None:
        raise ValueError(f"columns: expected data with one dimension to name, {got}")
    if len(columns) != count or len(set(columns)) != count:
        raise ValueError(f"columns: expected {count} different names, {got}")
    if all(isinstance(column, int) for column in columns):
        return list(columns)
    return [str(column) for column in columns]


def label_text(label: Any) -> str:
    """A label as text; the parts of a tuple with commas between them.

    Example:
        >>> label_text(("a", 1)), label_text("b")
        ('a, 1', 'b')
    """
    if isinstance(label, tuple):
        return ", ".join(map(str, label))
    return str(label)
