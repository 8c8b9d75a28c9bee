"""Rows of DataFrames for a model that knows its columns: matched by their names."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyro_vae.data.coding import Numbers, coded, numbers_of
from pyro_vae.data.column_choice import index_of, label_column, require_present
from pyro_vae.data.columns import CONSTANT, Column, Schema
from pyro_vae.data.frames import cells_of, library_of, opened
from pyro_vae.data.names import shortened
from pyro_vae.data.tables import Table, stacked, table


def as_table(
    x: Any, schema: Schema | None, name: str = "x", *, exact: bool = False
) -> Table:
    """A table, or a DataFrame, with the columns of a model; without a schema as it is."""
    if isinstance(x, Table) and (
        schema is None or x.schema.modelled == schema.modelled
    ):
        return x
    frame = x.to_dataframe() if isinstance(x, Table) else x
    if schema is None:
        return table(frame, name=name)
    return matched(frame, schema, name, exact=exact)


def names_only(
    frame: Any, kinds: Sequence[str], data_shape: tuple[int, ...], name: str = "x"
) -> Schema:
    """The names and types of a DataFrame's columns of numbers, for a model made without them.

    Arguments:
        frame: a DataFrame of as many columns of numbers as a row of the model has.
        kinds: of the model's likelihood, for each column.
        data_shape: of a row of the model.
        name: what messages call the data.

    Raises:
        ValueError: another number of columns, or cells that are no numbers.
    """
    data = opened(frame, name)
    names = list(data.columns)
    if data_shape != (len(names),):
        raise ValueError(
            f"{name}: expected a table of rows of shape {data_shape}, got {len(names)} columns: "
            f"{shortened(names)}; take as many, or make the model from the table: "
            "VAE.from_data(frame)"
        )
    columns = []
    for column, kind in zip(names, kinds, strict=True):
        cells = cells_of(data[column], name)
        if cells.form not in {"number", "truth"}:
            raise ValueError(
                f"{name}: column {column!r}: expected numbers, got {cells.dtype}; make the model "
                "from the table, so that it knows levels and units: VAE.from_data(frame)"
            )
        columns.append(Column(name=column, kind=kind, dtype=cells.dtype))
    _, index_column = index_of(frame)
    first = [] if index_column is None else [index_column[0]]
    return Schema(columns=(*first, *columns), library=library_of(data))


def matched(
    frame: Any, schema: Schema, name: str = "x", *, exact: bool = False
) -> Table:
    """The rows of a DataFrame for a model that knows its columns: matched by their names.

    Columns may come in any order and in other types of the same values; other columns are left out,
    with a note. So are columns of one value, which are no part of the model, where they differ.

    Numbers are float32 where that is enough for the column as it is here. With `exact` they are
    float64 always: for a float64 model a row is then the same, whatever stands beside it.

    Raises:
        ValueError: a column that isn't there, cells that the column can't have, an unseen level.

    Example:
        >>> import pandas as pd
        >>> made = table(pd.DataFrame({"a": [1.5, 2.5], "b": [0.25, 4.0]}))
        >>> matched(pd.DataFrame({"b": [0.0], "a": [7.5]}), made.schema).values.tolist()
        [[7.5, 0.0]]
    """
    data = opened(frame, name)
    if len(data) == 0:
        raise ValueError(f"{name}: expected at least one row, got a table of none")
    require_present(data, schema, name)
    numbers = []
    for column in schema.modelled:
        cells = cells_of(data[column.name], name)
        if exact:
            wide = Numbers(coded(cells, column, name), np.dtype(np.float64))
            numbers.append(wide)
        else:
            numbers.append(numbers_of(cells, column, name))
    labels, _ = index_of(frame)
    label = label_column(data.columns, schema)
    if label is not None:
        labels = tuple(data[label].to_list())
    known = {label, *(column.name for column in schema.columns)}
    extra = [column for column in data.columns if column not in known]
    notes = _other_constants(data, schema, name)
    if extra:
        notes.append(
            f"{name}: left out the columns {shortened(extra)}, not in the model"
        )
    return Table(stacked(numbers), schema, labels, notes=tuple(notes))


def _other_constants(data: Any, schema: Schema, name: str) -> list[str]:
    """Sentences on columns that had one value in the data of the model, and have others now."""
    notes = []
    for column in schema.columns:
        is_there = column.name in data.columns
        if column.kind != CONSTANT or column.levels is None or not is_there:
            continue
        (value,) = column.levels
        found = data[column.name].drop_nulls().unique().to_list()
        # of polars nan is no null, and it is missing here too: it differs from itself
        others = [one for one in found if one != value and one == one]
        if others:
            notes.append(
                f"{name}: column {column.name!r} was {value!r} in all rows of the data of the "
                f"model, and is {shortened(others, most=2)} here: log p(x) knows nothing of it"
            )
    return notes
