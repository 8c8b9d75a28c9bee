"""AnnData files (.h5ad): matrices of cells and genes, with the names of both.

The format is documented ("On-disk format" in the docs of anndata), and h5py reads it: an HDF5 file
with the groups obs and var, and matrices that are datasets or groups of CSR or CSC.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.data.stored import Contents, Fault, Stored
from pyro_vae.data.untrusted import consistent

SAMPLE = 2**16
"""Numbers by which a matrix of counts is recognised."""


def read_h5ad(path: Path) -> Contents:
    """X, the layers, raw/X and the embeddings of an AnnData file; the rows are X."""
    import h5py

    with h5py.File(path) as file:
        if "obs" not in file or "var" not in file:
            raise Fault(
                f"expected the groups obs and var of AnnData, got {sorted(file)}; write it by "
                "adata.write_h5ad"
            )
        cells = _index(file["obs"])
        genes = _index(file["var"])
        arrays: dict[str, Stored] = {}
        for name, columns in _places(file, genes):
            stored = _stored(path, name, file[name])
            if stored is not None:
                arrays[name] = replace(stored, columns=columns)
        notes = _counts(file, arrays)
    main = ("X", "the main matrix of AnnData") if "X" in arrays else None
    return Contents(arrays, labels=cells, notes=notes, main=main)


def _places(
    file: Any, genes: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """The names of all matrices with a row for each cell, and the names of their columns."""
    if "X" in file:
        yield "X", genes
    for layer in file.get("layers", ()):
        yield f"layers/{layer}", genes
    raw = file.get("raw", ())
    if "X" in raw:
        yield "raw/X", _index(raw["var"]) if "var" in raw else None
    for embedding in file.get("obsm", ()):
        yield f"obsm/{embedding}", None


def _stored(path: Path, name: str, node: Any) -> Stored | None:
    """A dense or sparse matrix; None for anything else, such as a table in obsm."""
    if hasattr(node, "shape"):
        read = partial(_dense, path, name)
        stored = Stored(tuple(node.shape), node.dtype, read)
        return stored if stored.holds_numbers and len(stored.shape) > 1 else None
    form = _form(node)
    if form not in {"csr", "csc"}:
        return None
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    read = partial(_sparse, path, name, form)
    return Stored(tuple(map(int, shape)), node["data"].dtype, read, is_sparse=True)


def _form(group: Any) -> str:
    """ "csr" or "csc" for a sparse matrix, also as older versions wrote it."""
    encoding = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))
    return _text(encoding).removesuffix("_matrix")


def _dense(path: Path, name: str) -> np.ndarray:
    """A matrix that is written in one piece stays in its file as a memory map."""
    import h5py

    with h5py.File(path) as file:
        dataset = file[name]
        offset = dataset.id.get_offset()
        if offset is None:  # compressed, or in chunks
            return np.asarray(dataset[()])
        shape, dtype = dataset.shape, dataset.dtype
    return np.memmap(path, dtype, mode="r", offset=offset, shape=shape)


def _sparse(path: Path, name: str, form: str) -> Any:
    import h5py
    from scipy.sparse import csc_array, csr_array

    with h5py.File(path) as file:
        group = file[name]
        shape = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
        parts = tuple(group[part][()] for part in ("data", "indices", "indptr"))
    values = parts[0].astype(parts[0].dtype.newbyteorder("="), copy=False)
    make = csr_array if form == "csr" else csc_array
    return consistent(make((values, *parts[1:]), tuple(map(int, shape))))


def _index(table: Any) -> tuple[str, ...]:
    """The names of the rows of a table: of a group of columns, or of the older compound dataset."""
    if hasattr(table, "dtype"):
        fields = table.dtype.names
        name = "index" if "index" in fields else fields[0]
        return tuple(map(_text, table[name]))
    column = table[_text(table.attrs.get("_index", "_index"))]
    if not hasattr(column, "dtype"):  # strings that may be missing
        column = column["values"]
    return tuple(map(_text, column[()]))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _counts(file: Any, arrays: dict[str, Stored]) -> tuple[str, ...]:
    """A note where X holds no counts and another matrix of the file does."""
    if "X" not in arrays or _holds_counts(file["X"]):
        return ()
    for name in arrays:
        if not name.startswith("obsm/") and name != "X" and _holds_counts(file[name]):
            return (
                f"X holds other numbers than counts, and {name} holds counts: for a likelihood of "
                f"counts pass array={name!r} (--set data.array={name})",
            )
    return ()


def _holds_counts(node: Any) -> bool:
    """Whether the first numbers of a matrix are whole and none is negative."""
    if hasattr(node, "shape"):
        width = int(np.prod(node.shape[1:]))
        sample = node[: max(1, SAMPLE // max(1, width))]
    else:
        sample = node["data"][:SAMPLE]
    return bool(np.all((sample >= 0) & (sample == np.trunc(sample))))
