"""Contexts of any kind as numbers of the model: checked, matched by name, in the order of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae.data import Placement, Schema, Table
from pyro_vae.data.checks import as_array, check_numbers
from pyro_vae.data.frames import is_frame, opened
from pyro_vae.data.matching import matched
from pyro_vae.data.names import shortened
from pyro_vae.spec import Context

NONE_TAKEN = (
    "expected no context, since the model has none, got one; make the model with "
    "context={'dim': ...}, or VAE.from_data(frame, context={'columns': [...]})"
)


def contexts_of(
    given: Context,
    context: Any,
    count: int | None,
    placement: Placement,
    name: str = "context",
) -> Tensor:
    """Contexts of `count` rows as the model takes them, (n, C), in its dtype and on its device.

    Arguments:
        given: the context of the model's description.
        context: an array (n, C); or for a model that knows its columns a DataFrame or a `Table`
            that has them, or a dict by name of one value for all rows, or of one for each.
        count: the number of rows; None takes as many as there are contexts.
        placement: device and dtype.
        name: of the argument, for messages.

    Raises:
        ValueError: another number of contexts or columns, a missing cell, an unknown level.

    Example:
        >>> contexts_of(Context(dim=2), [[0.0, 1.0]], 1, Placement())
        tensor([[0., 1.]])
    """
    if isinstance(context, Mapping):
        if given.table is None:
            raise ValueError(
                f"{name}: expected an array (n, {given.size}), since the model knows no names, got "
                f"a dict of {list(context)}; pass numbers, or make the model with VAE.from_data"
            )
        context = _frame_of(context, 1 if count is None else count, name)
    if given.table is not None and (is_frame(context) or isinstance(context, Table)):
        numbers = _matched(context, given.table, name)
    else:
        numbers = _array_of(given, context, name)
    if count is not None and len(numbers) != count:
        raise ValueError(
            f"{name}: expected one for each of {count} rows, got {len(numbers)}; pass as many"
        )
    _require_finite(numbers, given, name)
    _require_levels(numbers, given, name)
    return placement.take(numbers)


def without_context(given: Context | None, x: Any) -> Any:
    """A table without the columns of the context; anything else as it is."""
    if given is None or given.table is None:
        return x
    if isinstance(x, Table):
        return x.drop(given.table.names)
    if not is_frame(x):
        return x
    data = opened(x, "x")
    return data.drop(given.table.names, strict=False).to_native()


def apart(x: Any, size: int, count: int) -> tuple[Any, Any]:
    """Rows and contexts of an array of flat rows (x, c), (n, D + C); other rows have none.

    Example:
        >>> x, context = apart(np.arange(6.0).reshape(2, 3), 2, 1)
        >>> context.tolist(), apart(x, 2, 1)[1]
        ([[2.0], [5.0]], None)
    """
    if not isinstance(x, np.ndarray | Tensor) or tuple(x.shape[1:]) != (size + count,):
        return x, None
    return x[:, :size], x[:, size:]


def has_names(given: Context, x: Any) -> bool:
    """Whether rows come with names, among which the columns of the context can be found."""
    return given.table is not None and (is_frame(x) or isinstance(x, Table))


def _frame_of(context: Mapping[str, Any], count: int, name: str) -> Any:
    """A dict of values by name as a DataFrame; a single value is that of all rows."""
    import pandas as pd

    cells = {
        column: value if np.ndim(value) == 1 else [value] * count
        for column, value in context.items()
    }
    try:
        return pd.DataFrame(cells)
    except ValueError as error:
        raise ValueError(
            f"{name}: expected as many values in each column, or one for all rows, got: {error}"
        ) from error


def _matched(frame: Any, schema: Schema, name: str) -> np.ndarray:
    """The numbers of the columns of the context, found by their names among others."""
    if isinstance(frame, Table):
        frame = frame.to_dataframe()
    data = opened(frame, name)
    present = [column for column in schema.names if column in data.columns]
    if not present:
        raise ValueError(
            f"{name}: expected the columns {shortened(schema.names)}, got a table with "
            f"{shortened(list(data.columns))}; add them, or pass context="
        )
    return matched(data.select(present).to_native(), schema, name, exact=True).values


def _array_of(given: Context, context: Any, name: str) -> np.ndarray:
    """An array (n, C) of the numbers of contexts; a vector is that of single numbers."""
    if context is None:
        shown = f"an array (n, {given.size})"
        if given.table is not None:
            shown = f"the columns {shortened(given.table.names)}"
        remedy = "pass context="
        if name == "context of validation":
            remedy = "pass a pair, validation=(rows, contexts)"
        raise ValueError(
            f"{name}: expected what is given with each row, {shown}, got none; {remedy}"
        )
    array = context.detach().cpu().numpy() if isinstance(context, Tensor) else context
    array = as_array(array, name)
    check_numbers(array, name)
    if array.ndim == 1 and given.size == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != given.size:
        raise ValueError(
            f"{name}: expected shape (n, {given.size}), {given.size} numbers for each row, got "
            f"{array.shape}; pass such an array"
        )
    if len(array) == 0:
        raise ValueError(f"{name}: expected at least one context, got none")
    return np.asarray(array, np.float64)


def _column(given: Context, position: int) -> str:
    """What messages call a number of the context."""
    if given.table is None:
        return f"column {position}"
    return f"column {given.table.names[position]!r}"


def _require_finite(numbers: np.ndarray, given: Context, name: str) -> None:
    """Raise ValueError for the first missing cell: a context is given, and can't be summed out."""
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, position = bad[0]
        cell = numbers[row, position]
        got = "a missing cell" if np.isnan(cell) else str(cell)
        raise ValueError(
            f"{name}: {_column(given, position)}: expected a value in each row, since a context "
            f"is given, got {got} in row {row} ({len(bad)} such cells); fill them in, drop these "
            "rows, or leave the column in x, where cells may be missing"
        )


def _require_levels(numbers: np.ndarray, given: Context, name: str) -> None:
    """Raise ValueError for a number that is no position among the levels of its column."""
    for position, count in enumerate(given.levels):
        if count is None or given.table is None:
            continue
        cells = numbers[:, position]
        bad = np.flatnonzero((cells < 0) | (cells >= count) | (cells != np.rint(cells)))
        if len(bad):
            raise ValueError(
                f"{name}: {_column(given, position)}: expected positions among its levels "
                f"{shortened(given.table.modelled[position].levels or ())}, 0 to {count - 1}, got "
                f"{cells[bad[0]]:g} in row {bad[0]}; pass a DataFrame with the names of the levels"
            )
