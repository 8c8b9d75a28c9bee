"""What rows must be: real numbers, of one shape, finite and in the support."""

import math
from collections.abc import Iterable, Iterator, Sequence
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
            f"{name}: expected no missing numbers, got a masked array; fill or drop the masked rows"
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


def checked(
    batches: Iterable[Tensor],
    data_shape: Shape,
    *,
    support: Any,
    remedy: str,
    name: str,
    columns: Sequence[str] | None = None,
) -> Iterator[Tensor]:
    """The same batches, checked as they pass: shape, finite numbers, values in the support.

    Raises:
        ValueError: with the first offending row and column, its value, and what to do.
    """
    start = 0
    for batch in batches:
        check_array(batch, data_shape, name)
        finite = torch.isfinite(batch)
        if not finite.all():
            got = first_marked(~finite, batch, start, columns)
            remedy = "replace or drop such rows"
            if torch.isinf(batch).any():
                largest = torch.finfo(batch.dtype).max
                remedy += f", or change the unit of numbers beyond {largest:.2g}"
            raise ValueError(f"{name}: expected finite numbers, got {got}; {remedy}")
        inside = support.check(batch)
        missing_axes = (1,) * (batch.ndim - inside.ndim)
        inside = inside.reshape(*inside.shape, *missing_axes).expand_as(batch)
        if not inside.all():
            got = first_marked(~inside, batch, start, columns)
            raise ValueError(
                f"{name}: expected values in the support {describe(support)}, got {got}; {remedy}"
            )
        start += len(batch)
        yield batch


def first_marked(
    bad: Tensor, batch: Tensor, start: int, columns: Sequence[str] | None = None
) -> str:
    """The first value that is marked, with its row in the data and its column.

    Arguments:
        bad: which values are marked.
        batch: the values.
        start: the number of rows before the batch.
        columns: their names, where they have some.

    Example:
        >>> x = torch.tensor([[1.0, -2.0]])
        >>> first_marked(x < 0, x, 10, ["a", "b"]), first_marked(x < 0, x, 10)
        ("-2 in row 10, column 'b'", '-2 in row 10, column 1')
    """
    row, *indices = (int(i) for i in bad.nonzero()[0])
    column = name_of(tuple(indices), columns)
    return f"{batch[(row, *indices)].item():g} in row {start + row}, column {column}"


def name_of(indices: tuple[int, ...], columns: Sequence[str] | None) -> str:
    """A column for a message: its name in quotes, or its index."""
    if len(indices) != 1:
        return str(indices)
    return repr(columns[indices[0]]) if columns else str(indices[0])
