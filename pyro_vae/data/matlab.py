"""MATLAB files: up to version 7.2 by SciPy, 7.3 as HDF5."""

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.data.stored import Contents, Fault, Stored, in_memory
from pyro_vae.data.untrusted import consistent

NUMERIC = {"double", "single", "logical"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""MATLAB's classes of numbers. Other classes are kept in HDF5 as pointers or codes."""


def read_mat(path: Path) -> Contents:
    """The arrays of numbers of a MATLAB file, dense and sparse; what else it holds is named."""
    import h5py

    variables = _of_hdf5(path) if h5py.is_hdf5(path) else _of_mat5(path)
    arrays: dict[str, Stored] = {}
    left_out: list[str] = []
    for name, variable in variables:
        if isinstance(variable, Stored):
            arrays[name] = variable
        else:
            left_out.append(f"{name} ({variable})")
    if not arrays and left_out:
        raise Fault(
            f"expected an array of numbers, got {', '.join(left_out)}; save an array in MATLAB, "
            "such as X = table2array(T), X = cell2mat(C) or X = double(S)"
        )
    notes = tuple(
        _orientation(name, stored.shape)
        for name, stored in arrays.items()
        if _rows_may_be_last(stored.shape)
    )
    return Contents(arrays, notes=notes, left_out=tuple(left_out))


def _rows_may_be_last(shape: tuple[int, ...]) -> bool:
    """Whether an array of three or more axes is longest along its last one."""
    return len(shape) > 2 and shape[-1] > max(shape[:-1])


def _orientation(name: str, shape: tuple[int, ...]) -> str:
    order = " ".join(map(str, [len(shape), *range(1, len(shape))]))
    return (
        f"{name} {shape} has {shape[0]} rows, along its first axis, and is longest along its last: "
        f"if that one counts the rows, save permute({name}, [{order}])"
    )


# Version 7.3


def _of_hdf5(path: Path) -> Iterator[tuple[str, Stored | str]]:
    """The variables by name: an array of numbers, or the class of something else."""
    import h5py

    with h5py.File(path) as file:
        for name, node in file.items():
            if not name.startswith("#"):  # what cells, tables and objects point to
                yield name, _variable(path, name, node)


def _variable(path: Path, name: str, node: Any) -> Stored | str:
    kind = _class(node)
    if node.attrs.get("MATLAB_empty", 0):  # the dataset holds its size
        return f"empty {kind or 'array'}"
    if "MATLAB_sparse" in node.attrs:
        return _sparse_variable(path, name, node)
    if not hasattr(node, "dtype"):
        return kind or "group"
    if node.dtype.names is not None:
        return f"complex {kind}" if kind else "compound"
    is_object = "MATLAB_object_decode" in node.attrs
    if is_object or (kind and kind not in NUMERIC) or node.dtype.kind not in "buifc":
        return kind or f"dtype {node.dtype}"
    shape = tuple(node.shape[::-1])  # MATLAB stores each array transposed
    return Stored(shape, node.dtype, partial(_read_dense, path, name))


def _class(node: Any) -> str:
    """MATLAB's class of a variable; "" in a file that MATLAB didn't write."""
    kind = node.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _read_dense(path: Path, name: str) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        return np.asarray(file[name][()].T)


def _sparse_variable(path: Path, name: str, group: Any) -> Stored:
    """A sparse matrix: jc are the starts of its columns, ir the rows of its numbers."""
    shape = (int(group.attrs["MATLAB_sparse"]), len(group["jc"]) - 1)
    dtype = np.dtype(float)
    if "data" in group:  # absent where all numbers are 0
        dtype = group["data"].dtype
    if _class(group) == "logical":
        dtype = np.dtype(bool)
    read = partial(_read_sparse, path, name, shape, dtype)
    return Stored(shape, dtype, read, is_sparse=True)


def _read_sparse(
    path: Path, name: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Any:
    import h5py
    from scipy.sparse import csc_array

    with h5py.File(path) as file:
        group = file[name]
        starts = group["jc"][()].astype(np.int64)
        rows = np.zeros(0, np.int64)
        values = np.zeros(0, dtype)
        if "data" in group:
            rows = group["ir"][()].astype(np.int64)
            values = group["data"][()].astype(dtype)
    return consistent(csc_array((values, rows, starts), shape))


# Up to version 7.2


def _of_mat5(path: Path) -> Iterator[tuple[str, Stored | str]]:
    """The variables by name: an array of numbers, or the class of something else."""
    from scipy.io import loadmat
    from scipy.sparse import issparse

    with warnings.catch_warnings():
        # the name that SciPy below 1.18 gives to each table, string or object
        warnings.filterwarnings("ignore", message='Duplicate variable name "None"')
        variables = loadmat(path)
    for name, value in variables.items():
        if name.startswith(
            "__"
        ):  # the header, and the workspace of functions and objects
            continue
        if issparse(value):
            yield name, in_memory(consistent(value))
        elif isinstance(value, np.ndarray) and value.dtype.kind in "buifc":
            yield name, in_memory(value)
        else:
            yield _described(name, value)


def _described(name: str, value: Any) -> tuple[str, str]:
    """The name and class of a variable; SciPy below 1.18 calls each table or string "None"."""
    dtype = getattr(value, "dtype", np.dtype(object))
    fields = set(dtype.names or ())
    if "_Class" in fields:
        return name, _text(value.reshape(-1)[0]["_Class"])
    if {"s0", "s2"} <= fields:  # SciPy below 1.18
        first = value.reshape(-1)[0]
        return _text(first["s0"]), _text(first["s2"])
    if hasattr(value, "classname"):
        return name, _text(value.classname)
    if type(value).__name__ == "MatlabFunction":
        return name, "function_handle"
    if fields:
        return name, "struct"
    return name, {"U": "char", "O": "cell"}.get(dtype.kind, f"dtype {dtype}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
