"""What rows must be: real numbers, of one shape, finite and in the support."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.supports import describe

Shape = tuple[int, ...]


def as_array(x: Any, name: str) -> np.ndarray:
    """Nested sequences of rows of one length as an array."""
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"{name}: expected an array of rows of one length, got rows that differ: {error}"
        ) from error


def with_missing(x: Any, name: str) -> Any:
    """The same rows with nan for None, NA and masked cells.

    Raises:
        ValueError: a mask that leaves nan in the cells that it shows.

    Example:
        >>> with_missing([[1.0, None]], "x")
        array([[ 1., nan]])
    """
    if isinstance(x, np.ma.MaskedArray):
        if x.dtype.kind == "f" and np.isnan(x.compressed()).any():
            raise ValueError(
                f"{name}: expected a mask that hides each nan, got nan in a cell that the mask "
                "shows; mask these cells too, numpy.ma.masked_invalid(x), or fill them"
            )
        kept = x.dtype if x.dtype.kind == "f" else np.float64
        return np.where(np.ma.getmaskarray(x), np.nan, x.data).astype(kept)
    if isinstance(x, list | tuple):
        x = as_array(x, name)
    if isinstance(x, np.ndarray) and x.dtype == object:
        import pandas as pd

        absent = pd.isna(x)
        try:
            return np.where(absent, np.nan, x).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: expected numbers, and None, NA or nan for missing cells, got: {error}"
            ) from error
    return x


def check_numbers(array: Tensor | np.ndarray, name: str) -> None:
    """Raise ValueError unless the array holds real numbers, none of them masked."""
    if isinstance(array, Tensor):
        is_real = not array.dtype.is_complex
    else:
        is_real = array.dtype.kind in "biuf"
    if not is_real:
        raise ValueError(
            f"{name}: expected real numbers, got dtype {array.dtype}; convert it first, for "
            "example x.astype('float32')"
        )
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(
            f"{name}: expected no missing numbers, got a masked array; fill or drop the masked "
            "rows, or make the model with missing='at_random'"
        )


def check_array(array: Tensor | np.ndarray, data_shape: Shape, name: str) -> None:
    """Raise ValueError unless the array holds real numbers in rows of `data_shape`."""
    check_numbers(array, name)
    check_shape(tuple(array.shape), data_shape, name)


def check_shape(shape: Shape, data_shape: Shape, name: str) -> None:
    """Raise ValueError unless `shape` is that of at least one row of `data_shape`."""
    if shape[:1] == (0,):
        raise ValueError(f"{name}: expected at least one row, got none (shape {shape})")
    if shape[1:] != tuple(data_shape):
        remedy = "change data_shape or the data"
        if len(shape) > 0 and math.prod(shape[1:]) == math.prod(data_shape):
            remedy = f"reshape it to (n, {', '.join(map(str, data_shape))})"
        transposed = moved_axis(shape[1:], tuple(data_shape))
        if transposed is not None:
            remedy = f"move the axis of the channels, x.{transposed}"
        raise ValueError(
            f"{name}: expected rows of shape {tuple(data_shape)}, got {shape[1:]} in {shape}; "
            f"{remedy}"
        )


def moved_axis(got: Shape, expected: Shape) -> str | None:
    """The call that moves the channels of images to the other end, where that makes the shape.

    Reshaping such images would mix their pixels. A single channel is no matter of order.

    Example:
        >>> moved_axis((32, 32, 3), (3, 32, 32)), moved_axis((3, 32, 32), (32, 32, 3))
        ('transpose(0, 3, 1, 2)', 'transpose(0, 2, 3, 1)')
        >>> moved_axis((28, 28, 1), (1, 28, 28)) is None
        True
    """
    if len(got) != 3 or got == expected:
        return None
    if got[-1] > 1 and expected == (got[2], got[0], got[1]):
        return "transpose(0, 3, 1, 2)"
    if got[0] > 1 and expected == (got[1], got[2], got[0]):
        return "transpose(0, 2, 3, 1)"
    return None


@dataclass(frozen=True)
class MissingCells:
    """Where nan stands for a missing cell, and which cells can only be missing together.

    Attributes:
        together: groups of columns of the flattened row whose cells depend on each other given z,
            each with its name.
    """

    together: Mapping[str, Sequence[int]] = field(default_factory=dict)


def checked(
    batches: Iterable[Tensor],
    data_shape: Shape,
    *,
    support: Any,
    remedy: str,
    name: str,
    missing: MissingCells | None = None,
) -> Iterator[Tensor]:
    """The same batches, checked as they pass: shape, finite numbers, values in the support.

    Arguments:
        batches: of rows.
        data_shape: of a row.
        support: of the values.
        remedy: what to do about a value outside of it.
        name: what the messages call the data.
        missing: allows missing cells, nan; None refuses them.

    Raises:
        ValueError: with the first offending row and column, its value, and what to do.
    """
    start = 0
    for batch in batches:
        check_array(batch, data_shape, name)
        finite = torch.isfinite(batch)
        is_absent = ~finite
        if missing is not None:
            is_absent = batch.isnan()
            _check_together(is_absent, missing, name, start)
            finite = finite | is_absent
        if not finite.all():
            _refuse_infinite(~finite, batch, start, name, missing)
        inside = support.check(batch)
        missing_axes = (1,) * (batch.ndim - inside.ndim)
        inside = inside.reshape(*inside.shape, *missing_axes).expand_as(batch)
        if not (inside | is_absent).all():
            got = _first(~(inside | is_absent), batch, start)
            raise ValueError(
                f"{name}: expected values in the support {describe(support)}, got {got}; {remedy}"
            )
        start += len(batch)
        yield batch


def _refuse_infinite(
    bad: Tensor, batch: Tensor, start: int, name: str, missing: MissingCells | None
) -> None:
    """Raise ValueError for the first number that isn't finite."""
    got = _first(bad, batch, start)
    remedy = "replace or drop such rows"
    if got.startswith("nan") and missing is None:
        remedy = (
            "make the model with missing='at_random', for which nan is a missing cell, or "
            f"{remedy}"
        )
    raise ValueError(f"{name}: expected finite numbers, got {got}; {remedy}")


def _check_together(
    absent: Tensor, missing: MissingCells, name: str, start: int
) -> None:
    """Raise ValueError for a group of which a row has some cells and lacks others."""
    flat = absent.flatten(1)
    for group, columns in missing.together.items():
        each = flat[:, list(columns)]
        is_half = each.any(1) & ~each.all(1)
        if is_half.any():
            row = int(is_half.nonzero()[0])
            lacking = int(each[row].sum())
            raise ValueError(
                f"{name}: expected all cells of {group} or none, since they depend on each other "
                f"given z, got {lacking} missing of {len(columns)} in row {start + row}; fill "
                "these cells, or make all of them missing"
            )


def _first(bad: Tensor, batch: Tensor, start: int) -> str:
    """The first value that is marked, with its row in the data and its column."""
    row, *indices = (int(i) for i in bad.nonzero()[0])
    column = indices[0] if len(indices) == 1 else tuple(indices)
    return f"{batch[(row, *indices)].item():g} in row {start + row}, column {column}"
