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
        context: an array (n, C), with the label last and nan where that is unknown; or for a model
            that knows its columns a DataFrame or a `Table` that has them, or a dict by name of one
            value for all rows, or of one for each.
        count: the number of rows; None takes as many as there are contexts.
        placement: device and dtype.
        name: of the argument, for messages.

    Raises:
        ValueError: another number of contexts or columns, a name in a dict that is none of theirs,
            a missing cell, an unknown level.

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
        _require_names(given.table, context, name)
        context = _frame_of(context, 1 if count is None else count, name)
    if given.table is not None and (is_frame(context) or isinstance(context, Table)):
        numbers = _matched(context, given, given.table, name)
    else:
        numbers = _array_of(given, context, count, name)
    if count is not None and len(numbers) != count:
        raise ValueError(
            f"{name}: expected one for each of {count} rows, got {len(numbers)}; pass as many"
        )
    _require_finite(numbers, given, name)
    _require_levels(numbers, given, name)
    return placement.take(numbers)


def replaced(
    given: Context, contexts: Tensor, to: Any, placement: Placement, name: str
) -> Tensor:
    """The contexts of rows, (n, C), with some columns or all of them replaced.

    Arguments:
        given: the context of the model's description.
        contexts: of the rows.
        to: a dict by name, whose columns are replaced by one value or one for each row; or whole
            contexts as `contexts_of` takes them, one for each row or one for all.
        placement: device and dtype.
        name: of the argument `to`, for messages.

    Raises:
        ValueError: a column that isn't in the context; contexts that don't fit the model.
    """
    if isinstance(to, Mapping) and given.table is not None:
        names = given.table.names
        _require_names(given.table, to, name)
        frame = _frame_of(to, len(contexts), name)
        moved = contexts.clone()
        for column in to:
            position = names.index(column)
            schema = given.table.model_copy(
                update={"columns": (given.table.modelled[position],)}
            )
            cells = matched(frame[[column]], schema, name, exact=True).values
            moved[:, position] = placement.take(cells)[:, 0]
        return contexts_of(given, moved, len(contexts), placement, name)
    found = contexts_of(given, to, None, placement, name)
    if len(found) not in (1, len(contexts)):
        raise ValueError(
            f"{name}: expected {len(contexts)}, one for each row, or one for all, got {len(found)}"
        )
    return found.expand(len(contexts), -1)


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


def _require_names(schema: Schema, context: Mapping[str, Any], name: str) -> None:
    """Raise ValueError for names of a dict that are no columns of the context."""
    unknown = [column for column in context if column not in schema.names]
    if unknown:
        raise ValueError(
            f"{name}: expected columns of the context, {list(schema.names)}, got {unknown}"
        )


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


def _matched(frame: Any, given: Context, schema: Schema, name: str) -> np.ndarray:
    """The numbers of the columns of the context, found by their names among others.

    Of a table without the column of the label all labels are unknown.
    """
    if isinstance(frame, Table):
        frame = frame.to_dataframe()
    data = opened(frame, name)
    names = list(schema.names)
    lacks_label = given.label is not None and names[-1] not in data.columns
    if lacks_label:
        names.pop()
        schema = schema.model_copy(update={"columns": schema.columns[:-1]})
        if not names:
            return np.full((len(data), 1), np.nan)
    present = [column for column in names if column in data.columns]
    if not present:
        raise ValueError(
            f"{name}: expected the columns {shortened(names)}, got a table with "
            f"{shortened(list(data.columns))}; add them, or pass context="
        )
    found = matched(data.select(present).to_native(), schema, name, exact=True).values
    if not lacks_label:
        return found
    return np.concatenate([found, np.full((len(found), 1), np.nan)], 1)


def _array_of(given: Context, context: Any, count: int | None, name: str) -> np.ndarray:
    """An array (n, C) of the numbers of contexts; a vector is that of single numbers."""
    if context is None and given.label is not None and given.size == 1:
        return np.full((count or 1, 1), np.nan)
    if context is None:
        shown = f"an array (n, {given.size})"
        if given.table is not None:
            shown = f"the columns {shortened(given.table.names)}"
        remedy = "pass context="
        if name.startswith("context of "):
            remedy = f"pass a pair, {name.removeprefix('context of ')}=(rows, contexts)"
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
    """Raise ValueError for the first missing cell: a context is given, and can't be summed out.

    A label can.
    """
    is_bad = ~np.isfinite(numbers)
    if given.label is not None:
        is_bad[:, -1] = np.isinf(numbers[:, -1])
    bad = np.argwhere(is_bad)
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
    effects = {effect.position for effect in given.effects}
    for position, count in enumerate(given.levels):
        if count is None:
            continue
        cells = numbers[:, position]
        last = count - (position not in effects)  # a random effect may be a new one
        is_bad = (cells < 0) | (cells > last) | (cells != np.rint(cells))
        bad = np.flatnonzero(is_bad & ~np.isnan(cells))
        if len(bad):
            expected, remedy = _levels(given, position, count)
            raise ValueError(
                f"{name}: {_column(given, position)}: expected {expected}, got "
                f"{cells[bad[0]]:g} in row {bad[0]}; {remedy}"
            )


def _levels(given: Context, position: int, count: int) -> tuple[str, str]:
    """What a number may be that is the position of a level, and what to do else."""
    if given.table is None:
        return f"classes from 0 to {count - 1}", "pass nan where it is unknown"
    levels = shortened(given.table.modelled[position].levels or ())
    expected = f"positions among its levels {levels}, 0 to {count - 1}"
    return expected, "pass a DataFrame with the names of the levels"
