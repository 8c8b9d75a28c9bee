"""The rows of a source: read as a description says, matched with the columns of a model."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_vae.contexts import contexts_of, without_context
from pyro_vae.data import (
    Placement,
    Schema,
    SparseArray,
    Splits,
    Table,
    load_splits,
    read,
    table,
)
from pyro_vae.data.checks import moved_axis
from pyro_vae.data.column_choice import each_kind, require_known
from pyro_vae.data.files import file_at, stem
from pyro_vae.data.matching import matched
from pyro_vae.data.names import distinct, renaming
from pyro_vae.data.stored import errors_name
from pyro_vae.data.table_files import Frame, read_frame, suffix_of
from pyro_vae.experiment.description import DataOptions, Experiment
from pyro_vae.spec import Context
from pyro_vae.spec.from_table import completed, require_apart

EXACT = Placement(dtype=torch.float64)


def read_source(
    options: DataOptions,
    data_shape: tuple[int, ...] | None,
    *,
    fitted: bool = False,
    schema: Schema | None = None,
    context: Context | None = None,
    exact: bool = False,
) -> Splits:
    """The rows of a source, divided as the source divides them, and reshaped.

    Arguments:
        options: of the source.
        data_shape: of a row; None keeps the shape that the rows have.
        fitted: whether the shape is that of a fitted model, and can't be changed any more.
        schema: the columns of the model, by whose names a table is matched; None reads the numbers
            of a table by their positions.
        context: of the model, whose columns a table has too: rows are then flat, (x, c).
        exact: as in `matched`.

    Raises:
        ValueError: as `load_splits`; a shape that the rows don't have; a table without a column of
            the model.
    """
    path = os.path.expanduser(options.source)
    if schema is not None and is_table(path):
        frame, notes = frame_of(options)
        own = without_context(context, frame)
        found = matched(own, schema, options.source, exact=exact)
        whole = splits_of(replace(found, notes=(*notes, *found.notes)), path)
        return _with_context(whole, context, frame)
    splits = load_splits(path, array=options.array, packed_bits=options.packed_bits)
    got = splits.train.shape[1:]
    shape = data_shape or got
    if context is not None:
        return _whole_rows(splits, context, math.prod(shape), options)
    if math.prod(shape) != math.prod(got):
        remedy = "pass rows of the model's shape"
        if not fitted:
            sizes = ",".join(map(str, got))
            remedy = f"set data_shape=[{sizes}], or give rows of shape {shape}"
        raise ValueError(
            f"{options.source}: expected rows of shape {shape}, got {got}; {remedy}"
        )
    transposed = moved_axis(got, shape)
    if transposed is not None:
        raise ValueError(
            f"{options.source}: expected rows of shape {shape}, got {got}; reshaping would mix the "
            f"pixels: move the axis of the channels, x.{transposed}, and save that"
        )
    # the pixels of an image have no names
    columns = splits.columns if len(shape) == 1 else None
    notes = splits.notes
    if columns is not None:
        given = columns
        columns = distinct(given)
        renamed = renaming(given, columns)
        notes = (*notes, renamed) if renamed else notes
    return replace(
        splits,
        train=splits.train.reshape(-1, *shape),
        valid=_reshaped(splits.valid, shape),
        test=_reshaped(splits.test, shape),
        columns=columns,
        notes=notes,
    )


def _whole_rows(
    splits: Splits, context: Context, size: int, options: DataOptions
) -> Splits:
    """Rows without names of a fitted model, which end with their contexts: (n, D + C)."""
    got = splits.train.shape[1:]
    if got != (size + context.size,):
        raise ValueError(
            f"{options.source}: expected rows of {size + context.size} numbers, the {size} of x "
            f"and then the {context.size} of their context, got shape {got}; append the contexts "
            "to the rows, or give a table with the columns of both"
        )
    columns = None if splits.columns is None else splits.columns[:size]
    return replace(splits, columns=columns, context=context)


def read_described(experiment: Experiment) -> Splits:
    """The rows of a description that is to be fitted: of a table with a kind for each column.

    A table is read by its numbers alone where its rows are reshaped, or are grey levels.

    Raises:
        ValueError: as `read_source`; a kind that a column can't have.
    """
    options = experiment.data
    is_array = experiment.fit.binarize != "none" or options.packed_bits
    if experiment.table is None and len(experiment.data_shape or (0,)) > 1:
        is_array = True
    context = experiment.context
    if is_array or not is_table(options.source):
        _require_table(context, options)
        return read_source(options, experiment.data_shape, schema=experiment.table)
    frame, notes = frame_of(options)
    if context is not None:
        context = completed(context, frame, options.source)
        given = () if context.table is None else context.table.names
        asked = (*(experiment.columns or ()), *(options.columns or ()), *options.drop)
        require_apart(asked, given, options.source)
    found = _table_in(without_context(context, frame), experiment)
    if experiment.missing == "none" and "missing" in experiment.model_fields_set:
        found.require_complete(options.source)
    found = replace(found, notes=(*notes, *found.notes))
    return _with_context(splits_of(found, options.source), context, frame)


def _require_table(context: Context | None, options: DataOptions) -> None:
    """Raise ValueError where a context has no columns that a source could have."""
    if context is None:
        return
    raise ValueError(
        f"{options.source}: expected a table with the columns of the context, got rows without "
        "names; give a table with context = { columns = [...] }, or fit in Python: "
        "pyro_vae.fit(vae, x, context=c)"
    )


def _with_context(source: Splits, context: Context | None, frame: Any) -> Splits:
    """The rows of a table with the numbers of their contexts at the end of each."""
    if context is None:
        return source
    if context.table is None:
        raise ValueError(
            f"context: expected columns of {source.name}, context = {{ columns = [...] }}, got "
            f"dim {context.dim}; name the columns"
        )
    numbers = contexts_of(context, frame, len(source.train), EXACT).numpy()
    values = np.asarray(source.train)
    whole = np.concatenate([values, numbers.astype(values.dtype)], 1)
    return replace(source, train=whole, context=context)


def read_table_of(experiment: Experiment) -> Table:
    """The table of a description: matched with its columns where it knows them.

    Raises:
        ValueError: a file that holds no table, or a kind that a column can't have.
    """
    options = experiment.data
    if not is_table(options.source):
        return read(
            options.source,
            columns=experiment.columns,
            drop=options.drop,
            index=options.index,
            array=options.array,
        )
    frame, notes = frame_of(options)
    found = _table_in(frame, experiment)
    return replace(found, notes=(*notes, *found.notes))


def _table_in(frame: Any, experiment: Experiment) -> Table:
    """The rows of a DataFrame as the description takes them."""
    options = experiment.data
    if experiment.table is not None:
        return matched(frame, experiment.table, options.source)
    chosen = frame if options.columns is None else _chosen(frame, options)
    return table(
        chosen,
        columns=experiment.columns,
        drop=options.drop,
        index=options.index,
        kind=_kind_of_numbers(experiment),
        name=options.source,
    )


def _kind_of_numbers(experiment: Experiment) -> Any:
    """The likelihood that a description names for all columns of numbers; None without one."""
    if experiment.open_kind is not None:
        return experiment.open_kind
    if "likelihood" not in experiment.model_fields_set:
        return None
    return each_kind(experiment.model_dump()["likelihood"])


def frame_of(options: DataOptions) -> Frame:
    """The table of a file, as the description says how to read it."""
    with errors_name(options.source):
        return read_frame(
            file_at(options.source),
            delimiter=options.delimiter,
            decimal=options.decimal,
            header=options.header,
            dtypes=options.dtypes,
            missing=options.missing,
            array=options.array,
        )


def _chosen(frame: Any, options: DataOptions) -> Any:
    """The columns that the description takes, and that of the labels."""
    wanted = [*([options.index] if options.index else []), *(options.columns or ())]
    require_known(wanted, list(frame.columns), options.source)
    return frame[list(dict.fromkeys(wanted))]


def is_table(source: str) -> bool:
    """Whether a file holds a table with names of columns.

    Example:
        >>> is_table("birds.csv"), is_table("birds.npy")
        (True, False)
    """
    return suffix_of(Path(source)) is not None


def splits_of(rows: Table, source: str) -> Splits:
    """The rows of a table as those of a source without splits of its own."""
    return Splits(
        stem(Path(source)),
        train=rows.values,
        valid=None,
        test=None,
        columns=rows.names,
        labels=rows.labels,
        notes=rows.notes,
        table=rows,
    )


def _reshaped(
    rows: np.ndarray | SparseArray | None, shape: tuple[int, ...]
) -> np.ndarray | SparseArray | None:
    return None if rows is None else rows.reshape(-1, *shape)
