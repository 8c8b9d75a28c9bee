"""A file as a table with names, kinds and labels."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.data.column_choice import Kinds
from pyro_vae.data.files import file_at, load_splits
from pyro_vae.data.names import distinct, renaming
from pyro_vae.data.sparse import SparseArray
from pyro_vae.data.stored import errors_name
from pyro_vae.data.table_files import read_frame, suffix_of
from pyro_vae.data.tables import Table, table

DENSE = 2**27
"""Numbers of a sparse matrix that a table holds at most: 1 GiB in float64."""


def read(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | Kinds | None = None,
    drop: Sequence[str] = (),
    index: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    dtypes: Mapping[str, Any] | None = None,
    missing: Sequence[str | float] = (),
    header: bool | None = None,
    array: str | None = None,
    kind: str | Mapping[str, Any] | None = None,
) -> Table:
    """Read a table with names from a file: text of any delimiter, Parquet, Excel, ARFF, ...

    The delimiter, the header and the decimal sign of a text file are recognised; `Table.notes` says
    what was recognised, and `print(pyro_vae.data.summary(table))` shows each column with its kind.

    Arguments:
        path: of the file; text also compressed (.gz, .bz2, .xz, .zip).
        columns: the columns to take, or kinds by name; see `pyro_vae.data.table`.
        drop: names of columns to leave out.
        index: the column with the labels of the rows; by default it is recognised.
        delimiter: of a text file; by default it is recognised.
        decimal: the decimal mark of a text file, "." or ","; by default it is recognised.
        dtypes: of columns by name, as pandas knows them.
        missing: cells that stand for a missing value, beside the usual ones such as "" and "NA".
        header: whether the first line has the names; by default it is recognised.
        array: the name of the sheet or table to take from a file of several.
        kind: of all columns of numbers whose kind isn't asked for by name.

    Raises:
        ValueError: no such file, a damaged one, cells of different types in a column, or what
            `pyro_vae.data.table` refuses.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "birds.csv"
        >>> _ = file.write_text("bird;mass\\nowl;0,9\\ntit;0,02\\nhen;2,1\\n")
        >>> birds = read(file)
        >>> birds.labels, birds.values[:, 0].tolist()
        (('owl', 'tit', 'hen'), [0.8999..., 0.0199..., 2.0999...])
    """
    file = Path(path).expanduser()
    name = os.fspath(path)
    options: dict[str, Any] = {
        "columns": columns,
        "drop": drop,
        "index": index,
        "kind": kind,
    }
    if suffix_of(file) is None:
        return _from_array(name, array, options)
    with errors_name(name):
        found = read_frame(
            file_at(file),
            delimiter=delimiter,
            decimal=decimal,
            dtypes=dtypes,
            missing=missing,
            header=header,
            array=array,
        )
    made = table(found.frame, **options, name=name)
    return replace(made, notes=(*found.notes, *made.notes))


def _from_array(name: str, array: str | None, options: dict[str, Any]) -> Table:
    """The columns of an array of two dimensions, with the names and labels that its file has.

    Columns without a name are called "column 0", "column 1", .... Sparse rows become dense.
    """
    import pandas as pd

    splits = load_splits(name, array=array)
    rows = splits.train
    if splits.valid is not None or splits.test is not None:
        raise ValueError(
            f"{name}: expected one array, got several splits; pass array= with the name of one, or "
            "read them with pyro_vae.data.load_splits"
        )
    if rows.ndim != 2:
        raise ValueError(
            f"{name}: expected a table, got rows of shape {rows.shape[1:]}; read it with "
            "pyro_vae.data.load"
        )
    if isinstance(rows, SparseArray) and math.prod(rows.shape) > DENSE:
        raise ValueError(
            f"{name}: expected a table of at most {DENSE} numbers, got a sparse matrix of shape "
            f"{rows.shape}; read it with pyro_vae.data.load, which keeps it sparse, and fit that"
        )
    given = splits.columns or ("",) * rows.shape[1]
    names = distinct(given)
    notes = list(splits.notes)
    renamed = renaming(given, names)
    if renamed is not None and splits.columns is not None:
        notes.append(renamed)
    frame = pd.DataFrame(np.asarray(rows), index=splits.labels, columns=list(names))
    made = table(frame, **options, name=name)
    return replace(made, notes=(*notes, *made.notes))
