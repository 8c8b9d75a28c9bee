"""Read rows: a name or a path in, arrays out."""

import difflib
import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pyro_vae.data.binary_files import read_idx, read_npy, read_npz
from pyro_vae.data.choice import choose, choose_splits
from pyro_vae.data.h5ad import read_h5ad
from pyro_vae.data.matlab import read_mat
from pyro_vae.data.sparse import SparseArray
from pyro_vae.data.sparse_files import read_matrix_market
from pyro_vae.data.stored import Contents, Fault, Stored, errors_name, in_memory
from pyro_vae.data.table_files import read_table, suffix_of
from pyro_vae.data.tables import Table
from pyro_vae.data.text_lines import COMPRESSIONS

Reader = Callable[[Path], Contents]

BUNDLED = "digits"


@dataclass(frozen=True, eq=False)
class Splits:
    """The rows of one source, divided as the source divides them.

    Arguments:
        name: "digits", or the file's stem.
        train, valid, test: (n, *data_shape) in the source's own unit, a `SparseArray` where the
            source is sparse; None for a split that the source lacks.
        columns: the columns' names, for tables that carry names; otherwise None.
        labels: the names of the training rows, for sources that carry them; otherwise None.
        notes: sentences on how the source was read, such as which of its arrays was taken and why.
        table: the rows with their columns, for tables with a kind for each column.
        context: the description of what is given with each row, for rows that end with it.

    Example:
        >>> rows = np.zeros((5, 2))
        >>> Splits("mine", rows, valid=None, test=None, columns=("a", "b")).columns
        ('a', 'b')
    """

    name: str
    train: np.ndarray | SparseArray
    valid: np.ndarray | SparseArray | None
    test: np.ndarray | SparseArray | None
    columns: tuple[str, ...] | None
    labels: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()
    table: Table | None = None
    context: Any = None


def load(
    source: str | os.PathLike[str],
    *,
    array: str | None = None,
    packed_bits: bool = False,
) -> Any:
    """Read one array of rows from a bundled name or a file.

    Arguments:
        source: "digits" (scikit-learn's 8 x 8 images, counts 0 to 16), or a path to .npy (opened as
            a read-only memory map), .npz (also of `scipy.sparse.save_npz`), .mat, .h5ad, .mtx or
            IDX (also .gz), or to a table of numbers: text of any delimiter (.csv, .tsv, .txt, .dat,
            .data, .amat, also .gz, .bz2, .xz, .zip), .parquet, .feather, .xlsx and others that
            `pyro_vae.data.read` reads.
        array: the name of the array to take from a file of several, such as "layers/counts" of a
            .h5ad file, whose X is taken by default.
        packed_bits: whether rows are pixels packed by `numpy.packbits(axis=1)`, to be unpacked into
            0 and 1.

    Returns:
        (n, *data_shape) numbers in the source's own unit, as an array, or as a
        `scipy.sparse.csr_array` where the source is sparse; booleans come as uint8.

    Raises:
        ValueError: the file is missing, damaged or of unknown format, or does not hold one array of
            real rows.

    Example:
        >>> x = load("digits")
        >>> x.shape, x.dtype.name, int(x.max())
        ((1797, 64), 'uint8', 16)
    """
    with errors_name(os.fspath(source)):
        contents = _open(source)
        name = choose(contents, array).names["train"]
        return _rows(name, contents.arrays[name], packed_bits)


def load_splits(
    source: str | os.PathLike[str],
    *,
    array: str | None = None,
    packed_bits: bool = False,
) -> Splits:
    """Read the training, validation and test rows that a source comes with.

    Arguments:
        source: as for `load`; arrays called train, valid and test, or x_train, val_images and the
            like, are the splits.
        array: the name of an array which is all of `train`, whatever the others are called.
        packed_bits: as for `load`.

    Returns:
        The splits; all rows are in `train` where the source names no training split.

    Raises:
        ValueError: as for `load`, and when two arrays claim one split or the splits' rows differ in
            shape.

    Example:
        >>> splits = load_splits("digits")
        >>> splits.name, splits.train.shape, splits.test
        ('digits', (1797, 64), None)
    """
    with errors_name(os.fspath(source)):
        contents = _open(source)
        names, notes = choose_splits(contents, array)
        parts: dict[str, np.ndarray | SparseArray] = {}
        for split, name in names.items():
            rows = _rows(name, contents.arrays[name], packed_bits)
            parts[split] = rows if isinstance(rows, np.ndarray) else SparseArray(rows)
        if len({rows.shape[1:] for rows in parts.values()}) > 1:
            shapes = {split: rows.shape for split, rows in parts.items()}
            raise Fault(
                f"expected rows of one shape in all splits, got {shapes}; pass array= to take one"
            )
    return Splits(
        stem(Path(source)),
        train=parts["train"],
        valid=parts.get("valid"),
        test=parts.get("test"),
        columns=None if packed_bits else contents.columns_of(names["train"]),
        labels=contents.labels_of(names["train"]),
        notes=(*notes, *contents.notes),
    )


def stem(path: Path) -> str:
    """The name of a file without its suffix and that of its compression."""
    if path.suffix.lower() in COMPRESSIONS:
        path = path.with_suffix("")
    return path.stem


def _open(source: str | os.PathLike[str]) -> Contents:
    """What a source holds; the values of a file are not read yet where its format allows that."""
    if source == BUNDLED:
        return _digits()
    path = file_at(source)
    for suffix, reader in READERS.items():
        if path.name.lower().endswith(suffix):
            return reader(path)
    if suffix_of(path) is None:
        raise Fault(
            f"expected one of {' '.join(READERS)}, or a table such as .csv .txt .parquet, got "
            f"suffix {path.suffix!r}; save it as one of these"
        )
    return read_table(path)


def file_at(source: str | os.PathLike[str]) -> Path:
    """The path of a file that exists and isn't empty.

    Raises:
        Fault: a folder, no such file, or an empty one.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        raise Fault("expected a file, got a folder; give the path of one file in it")
    if not path.exists():
        _not_found(path)
    if path.stat().st_size == 0:
        raise Fault("expected data, got an empty file; write it again")
    return path


def _digits() -> Contents:
    """The 1797 images of digits that scikit-learn brings: 8 x 8 pixels, counts from 0 to 16."""
    from sklearn.datasets import load_digits

    return Contents({"": in_memory(load_digits().data.astype(np.uint8))})


def _not_found(path: Path) -> NoReturn:
    neighbours = [BUNDLED, *(file.name for file in path.parent.glob("*"))]
    close = difflib.get_close_matches(path.name, neighbours, cutoff=0.8)
    remedy = f'did you mean "{close[0]}"?' if close else "check the path"
    raise Fault(
        f'expected a file or the only bundled name, "{BUNDLED}", got neither; {remedy}'
    )


def _rows(name: str, stored: Stored, packed_bits: bool) -> Any:
    """The rows of a checked array: booleans as uint8, in the machine's byte order, writable.

    A sparse matrix is a `scipy.sparse.csr_array`.
    """
    label = f"array {name!r}" if name else "an array"
    _check_type(label, stored)
    _check_shape(label, stored)
    if packed_bits:
        _check_packed_bits(label, stored)
    rows = stored.read()
    if not isinstance(rows, np.ndarray):
        return rows.astype(np.uint8) if stored.dtype == np.bool_ else rows
    if stored.dtype == np.bool_:
        rows = rows.view(np.uint8)
    if not stored.dtype.isnative:
        rows = rows.astype(stored.dtype.newbyteorder("="))
    if packed_bits:
        return np.unpackbits(np.asarray(rows), axis=1)
    if isinstance(rows, np.memmap):
        return rows
    return np.require(rows, requirements=["C", "W"])


def _check_type(label: str, stored: Stored) -> None:
    dtype = stored.dtype
    if dtype.hasobject:
        raise Fault(
            f"expected {label} of numbers, got dtype {dtype}; object arrays are not read, because "
            "reading them runs code; save as a numeric array: "
            "numpy.save(path, np.asarray(x, dtype=float))"
        )
    if not stored.holds_numbers:
        raise Fault(
            f"expected {label} of real numbers, got dtype {dtype}; encode the values as real "
            "numbers"
        )


def _check_shape(label: str, stored: Stored) -> None:
    shape = stored.shape
    if len(shape) < 2:
        raise Fault(
            f"expected {label} of shape (n, ...), got {shape}; reshape n single numbers to (n, 1)"
        )
    if 0 in shape:
        raise Fault(
            f"expected {label} of at least one row and one value a row, got shape {shape}; save "
            "some rows"
        )


def _check_packed_bits(label: str, stored: Stored) -> None:
    is_packed = stored.dtype == np.uint8 and len(stored.shape) == 2
    if not is_packed or stored.is_sparse:
        raise Fault(
            f"expected {label} of packed bits, uint8 (n, bytes), got {stored.dtype} "
            f"{stored.shape}; leave packed_bits out"
        )


READERS: dict[str, Reader] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".mat": read_mat,
    ".h5ad": read_h5ad,
    ".mtx": read_matrix_market,
    ".mtx.gz": read_matrix_market,
}
for suffix in (".idx", "-ubyte"):
    READERS[suffix] = partial(read_idx, opener=open)
    READERS[f"{suffix}.gz"] = partial(read_idx, opener=gzip.open)
