"""What an estimator is given, as the rows that a model takes: an array, or a DataFrame."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from pyro_vae.data.frames import is_frame, opened

__all__ = ["checked", "checked_array", "checked_frame"]

FEWEST = 2
"""Rows that a model can be fitted to: one has no spread."""


def checked_array(estimator: Any, x: Any, *, fitting: bool) -> np.ndarray:
    """Rows of numbers, (n, D) in floating point, nan where a cell is missing.

    Arguments:
        estimator: learns the number and names of the columns, or compares them.
        x: rows of any kind that NumPy reads.
        fitting: whether the estimator is being fitted.

    Raises:
        ValueError: text, rows that are no table, too few of them, infinite cells, or other columns
            than those the estimator was fitted to.
    """
    _refuse_text(x)
    shape = x.shape if hasattr(x, "shape") else np.asarray(x).shape
    if len(shape) == 1:
        raise ValueError(
            f"X: expected rows of shape (n, features), got shape {shape}. Reshape your data: "
            "X.reshape(-1, 1) where it is one column, X.reshape(1, -1) where it is one row"
        )
    rows: np.ndarray = validate_data(
        estimator,
        x,
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan",
        ensure_min_samples=FEWEST if fitting else 1,
        reset=fitting,
    )
    return rows


def _refuse_text(x: Any) -> None:
    """Raise ValueError for an array with text in a cell."""
    cells = np.asarray(x)
    if cells.dtype.kind not in "OUS":
        return
    text = [cell for cell in cells.flat if isinstance(cell, str | bytes)]
    if text:
        raise ValueError(
            f"X: expected numbers, got text such as {str(text[0])!r}; pass a DataFrame with the "
            "columns of the table, which may hold text"
        )


def checked_frame(estimator: Any, x: Any, *, fitting: bool) -> Any:
    """A DataFrame with the columns that the estimator is, or was, fitted to.

    Arguments:
        estimator: learns the number and names of the columns, or compares them.
        x: a DataFrame of any library.
        fitting: whether the estimator is being fitted.

    Raises:
        ValueError: too few rows, or other columns than those the estimator was fitted to.
    """
    data = opened(x, "X")
    if fitting and len(data) < FEWEST:
        raise ValueError(
            f"X: expected at least {FEWEST} rows, got n_samples = {len(data)}; one row has no "
            "spread that a model could learn"
        )
    validate_data(estimator, x, skip_check_array=True, reset=fitting)
    return x


def _as_frame(columns: Sequence[Any], x: np.ndarray) -> Any:
    """An array as the DataFrame of these columns, by their order."""
    import pandas as pd

    return pd.DataFrame(x, columns=list(columns))


def checked(estimator: Any, x: Any, columns: Sequence[Any] | None) -> Any:
    """Rows for an estimator that is fitted.

    Arguments:
        estimator: fitted.
        x: rows of any kind.
        columns: names of the columns of the DataFrame that it was fitted to; None: it was fitted to
            an array.
    """
    if columns is None:
        return checked_array(estimator, x, fitting=False)
    if is_frame(x):
        return checked_frame(estimator, x, fitting=False)
    return _as_frame(columns, checked_array(estimator, x, fitting=False))
