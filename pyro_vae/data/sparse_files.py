"""Files of sparse matrices: .npz of `scipy.sparse.save_npz`, and Matrix Market."""

import gzip
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from pyro_vae.data.stored import Contents, Fault, Stored
from pyro_vae.data.untrusted import consistent

SAVED = {"format", "shape", "data"}
"""Arrays that every file of `scipy.sparse.save_npz` has."""

WHOLE = 2.0**53
"""Numbers up to here are whole in float64 without gaps."""


def is_sparse_npz(names: Iterable[str]) -> bool:
    """Whether the arrays of a .npz file are the parts of a sparse matrix."""
    return set(names) >= SAVED


def sparse_npz(path: Path, dtype: np.dtype[Any]) -> Contents:
    """The matrix that `scipy.sparse.save_npz` wrote, in CSR.

    Arguments:
        path: of the file.
        dtype: of its stored numbers.
    """
    with np.load(path, allow_pickle=False) as parts:
        shape = tuple(map(int, parts["shape"]))
    if len(shape) != 2:
        raise Fault(
            f"expected a sparse matrix of shape (n, columns), got shape {shape}; reshape it to two "
            "dimensions: x.reshape(x.shape[0], -1)"
        )

    def read() -> Any:
        from scipy.sparse import load_npz

        return consistent(load_npz(path))

    return Contents({"": Stored(shape, dtype, read, is_sparse=True)})


def read_matrix_market(path: Path) -> Contents:
    """A Matrix Market file, in the file's own orientation, or that of 10x Genomics.

    Single-cell data of 10x Genomics have genes as rows of the file, and beside it the names in
    features.tsv or genes.tsv and barcodes.tsv. Where their lines agree with the sizes of the
    matrix, it is transposed, so that a row is a cell.
    """
    from scipy.io import mminfo

    rows, columns, count, form, field, symmetry = mminfo(path)
    if symmetry != "general" or field == "complex":
        raise Fault(
            f"expected a general matrix of real numbers, got a {symmetry} {field} one; such a "
            "matrix holds no rows of data"
        )
    parse = _coordinates if form == "coordinate" else _dense
    read = partial(parse, path, (rows, columns), count, field)
    dtype = np.dtype(float)
    if field in {"integer", "unsigned-integer"}:
        dtype = np.dtype(np.int64)
    is_sparse = form == "coordinate"
    genes = _names(path, ("features", "genes"), rows)
    cells = _names(path, ("barcodes",), columns)
    if genes is not None and cells is not None and is_sparse:
        stored = Stored((columns, rows), dtype, partial(_transposed, read), is_sparse)
        note = (
            "transposed, so that a row is a cell: barcodes.tsv names the columns of the file "
            f"({columns} cells), and features.tsv or genes.tsv its rows ({rows} genes)"
        )
        return Contents({"": stored}, genes, cells, (note,))
    note = (
        f"the rows are the {rows} rows of the file, with {columns} columns; 10x Genomics has genes "
        "as rows, and such a file has to be transposed"
    )
    return Contents(
        {"": Stored((rows, columns), dtype, read, is_sparse)}, notes=(note,)
    )


def _transposed(read: Callable[[], Any]) -> Any:
    return read().T.tocsr()


def _coordinates(path: Path, shape: tuple[int, int], count: int, field: str) -> Any:
    """The entries as CSR. SciPy's own reader takes 1e+05 in a file of integers for 1."""
    from scipy.sparse import coo_array

    parts = _body(path, 2 if field == "pattern" else 3, count)
    values = np.ones(count)
    if field != "pattern":
        values = parts[:, 2]
    places = parts[:, :2].T.astype(np.int64) - 1
    return consistent(coo_array((_typed(values, field), tuple(places)), shape))


def _dense(path: Path, shape: tuple[int, int], count: int, field: str) -> np.ndarray:
    """The numbers of a dense matrix, which stand column by column."""
    values = _body(path, 1, count).ravel()
    return _typed(values, field).reshape(shape, order="F")


def _typed(values: np.ndarray, field: str) -> np.ndarray:
    """Numbers of a file of integers, which R writes as 1e+05 too."""
    if field not in {"integer", "unsigned-integer"}:
        return values
    if not np.all((np.trunc(values) == values) & (np.abs(values) <= WHOLE)):
        raise Fault(
            "expected whole numbers up to 2^53 in a file of integers, got others; write 'real' for "
            "'integer' in its first line"
        )
    return values.astype(np.int64)


def _body(path: Path, width: int, count: int) -> np.ndarray:
    """The numbers in the lines after the sizes, (count, width)."""
    numbers = np.zeros((0, width))
    with _opened(path) as text:
        for line in text:
            if line.strip() and not line.startswith("%"):
                break  # the sizes
        if count > 0:
            numbers = np.loadtxt(text, comments="%", ndmin=2)
    if numbers.shape != (count, width):
        raise Fault(
            f"expected {count} lines of {width} numbers, got {numbers.shape[0]} of "
            f"{numbers.shape[1]}; write the file again"
        )
    return numbers


def _opened(path: Path) -> IO[str]:
    opener: Callable[..., Any] = (
        gzip.open if path.name.lower().endswith(".gz") else open
    )
    stream: IO[str] = opener(path, "rt", encoding="utf-8")
    return stream


def _names(path: Path, stems: Sequence[str], count: int) -> tuple[str, ...] | None:
    """The first cells of the lines of a file beside `path`, where there are `count` of them."""
    for stem in stems:
        for suffix in (".tsv", ".tsv.gz"):
            file = path.with_name(stem + suffix)
            if not file.exists():
                continue
            with _opened(file) as text:
                names = tuple(line.rstrip("\r\n").split("\t")[0] for line in text)
            if len(names) == count:
                return names
    return None
