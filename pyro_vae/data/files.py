"""Where rows come from: a name or a path in, arrays out."""

import csv
import difflib
import gzip
import itertools
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Splits:
    """The rows of one source, divided as the source divides them.

    Arguments:
        name: "digits", or the file's stem.
        train, valid, test: (n, *data_shape) in the source's own unit; None for a split that the
            source lacks.
        columns: the columns' names, for tables that carry names; otherwise None.

    Example:
        >>> Splits("mine", train=np.zeros((5, 2)), valid=None, test=None, columns=("a", "b")).columns
        ('a', 'b')
    """

    name: str
    train: np.ndarray
    valid: np.ndarray | None
    test: np.ndarray | None
    columns: tuple[str, ...] | None


def load(
    source: str | os.PathLike[str], *, array: str | None = None, packed_bits: bool = False
) -> np.ndarray:
    """Read one array of rows from a bundled name or a file.

    Arguments:
        source: "digits" (scikit-learn's 8 x 8 images, counts 0 to 16), or a path to .npy (opened as
            a read-only memory map), .npz, .csv, .tsv, .parquet, .amat, .mat or IDX; text and IDX
            also as .gz. The first line of a text file is a header when none of its cells is a
            number.
        array: the name of the array to take from a file of several.
        packed_bits: whether rows are pixels packed by `numpy.packbits(axis=1)`, to be unpacked into
            0 and 1.

    Returns:
        (n, *data_shape) numbers in the source's own unit; booleans come as uint8.

    Raises:
        ValueError: the file is missing, damaged or of unknown format, or does not hold one array of
            real rows.

    Example:
        >>> x = load("digits")
        >>> x.shape, x.dtype.name, int(x.max())
        ((1797, 64), 'uint8', 16)
    """
    with _place_in_errors(os.fspath(source)):
        arrays, _ = _open(source)
        return _rows(arrays, _choose(arrays, array), packed_bits)


def load_splits(
    source: str | os.PathLike[str], *, array: str | None = None, packed_bits: bool = False
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
    with _place_in_errors(os.fspath(source)):
        arrays, columns = _open(source)
        names = _named_splits(arrays) if array is None else {}
        if "train" not in names:
            names = {"train": _choose(arrays, array)}
        parts = {split: _rows(arrays, name, packed_bits) for split, name in names.items()}
        if len({rows.shape[1:] for rows in parts.values()}) > 1:
            shapes = {split: rows.shape for split, rows in parts.items()}
            raise _Fault(
                f"expected rows of one shape in all splits, got {shapes}; pass array= to take one"
            )
    stem = Path(os.fspath(source).removesuffix(".gz")).stem
    return Splits(
        stem,
        parts["train"],
        parts.get("valid"),
        parts.get("test"),
        None if packed_bits else columns,
    )


# An array before its values are read, and what a source holds: arrays by name ("" for none), names
# of columns.
_Stored = tuple[tuple[int, ...], np.dtype[Any], Callable[[], np.ndarray]]
_Contents = tuple[dict[str, _Stored], tuple[str, ...] | None]


class _Fault(Exception):
    """What was expected, what was got and the remedy; the place is added by `_place_in_errors`."""


@contextmanager
def _place_in_errors(place: str) -> Iterator[None]:
    try:
        yield
    except _Fault as fault:
        raise ValueError(f"{place}: {fault}") from None
    except MemoryError:
        raise
    except ImportError as error:
        raise ValueError(
            f"{place}: expected a reader, got {error}; install it (.parquet: pandas, pyarrow)"
        ) from error
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{place}: expected a complete file of its format, got {got}; write it again"
        ) from error


def _open(source: str | os.PathLike[str]) -> _Contents:
    if source == "digits":
        from sklearn.datasets import load_digits

        return {"": _stored(load_digits().data.astype(np.uint8))}, None
    path = Path(source).expanduser()
    if path.is_dir():
        raise _Fault("expected a file, got a folder; give the path of one file in it")
    if not path.exists():
        close = difflib.get_close_matches(
            path.name, ["digits", *(p.name for p in path.parent.glob("*"))], cutoff=0.8
        )
        remedy = f'did you mean "{close[0]}"?' if close else "check the path"
        raise _Fault(f'expected a file or the only bundled name, "digits", got neither; {remedy}')
    if path.stat().st_size == 0:
        raise _Fault("expected data, got an empty file; write it again")
    for suffix, reader in _READERS.items():
        if path.name.lower().endswith(suffix):
            return reader(path)
    raise _Fault(
        f"expected one of {' '.join(_READERS)}, got suffix {path.suffix!r}; save it as one of these"
    )


def _choose(arrays: dict[str, _Stored], array: str | None) -> str:
    held = (
        ", ".join(
            f"{name or 'unnamed'} {shape} {dtype}" for name, (shape, dtype, _) in arrays.items()
        )
        or "none"
    )
    if array is not None and (array not in arrays or not array):
        raise _Fault(
            f"expected an array named {array!r}, got {held}; pass one of these names or leave "
            "array= out"
        )
    names = [
        name
        for name, (shape, dtype, _) in arrays.items()
        if dtype.kind in "buif" and len(shape) > 1
    ]
    names = [array] if array is not None else names or list(arrays)
    if len(names) != 1:
        remedy = "pass array= with one of these names" if names else "save one"
        raise _Fault(f"expected one array of numbers of shape (n, ...), got {held}; {remedy}")
    return names[0]


_SPLITS = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}
_FORMS = ("{}", "x{}", "{}x", "{}data", "{}images")
_SPLIT_NAMES = {form.format(word): split for word, split in _SPLITS.items() for form in _FORMS}


def _named_splits(names: Iterable[str]) -> dict[str, str]:
    claims = [(_SPLIT_NAMES.get(name.lower().replace("_", ""), ""), name) for name in names]
    found = {split: name for split, name in claims if split}
    rivals = [name for split, name in claims if split and found[split] != name]
    if rivals:
        raise _Fault(
            f"expected one array for each split, got {rivals} as well as {found}; pass array= to "
            "take one"
        )
    return found


def _rows(arrays: dict[str, _Stored], name: str, packed_bits: bool) -> np.ndarray:
    shape, dtype, read = arrays[name]
    _check(f"array {name!r}" if name else "an array", shape, dtype, packed_bits)
    rows = read()
    rows = rows.view(np.uint8) if dtype == np.bool_ else rows
    rows = rows if dtype.isnative else rows.astype(dtype.newbyteorder("="))
    if packed_bits:
        return np.unpackbits(np.asarray(rows), axis=1)
    return rows if isinstance(rows, np.memmap) else np.require(rows, requirements=["C", "W"])


def _check(what: str, shape: tuple[int, ...], dtype: np.dtype[Any], packed_bits: bool) -> None:
    if dtype.hasobject:
        remedy = "because reading them runs code; save as a numeric array: numpy.save(path, np.asarray(x, dtype=float))"
        raise _Fault(
            f"expected {what} of numbers, got dtype {dtype}; object arrays are not read, {remedy}"
        )
    if dtype.kind not in "buif":
        raise _Fault(
            f"expected {what} of real numbers, got dtype {dtype}; encode the values as real numbers"
        )
    if len(shape) < 2:
        raise _Fault(
            f"expected {what} of shape (n, ...), got {shape}; reshape n single numbers to (n, 1)"
        )
    if 0 in shape:
        raise _Fault(
            f"expected {what} of at least one row and one value a row, got shape {shape}; save "
            "some rows"
        )
    if packed_bits and (dtype != np.uint8 or len(shape) != 2):
        raise _Fault(
            f"expected {what} of packed bits, uint8 (n, bytes), got {dtype} {shape}; leave "
            "packed_bits out"
        )


def _stored(values: np.ndarray) -> _Stored:
    return values.shape, values.dtype, lambda: values


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    first = np.lib.format.read_magic(stream) == (1, 0)
    shape, _, dtype = (
        np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    )(stream)
    return shape, dtype


def _npy(path: Path) -> _Contents:
    with path.open("rb") as stream:
        return {
            "": (*_npy_header(stream), partial(np.load, path, mmap_mode="r", allow_pickle=False))
        }, None


def _npz(path: Path) -> _Contents:
    def read(member: str) -> np.ndarray:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    arrays: dict[str, _Stored] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                arrays[member.removesuffix(".npy")] = (*_npy_header(stream), partial(read, member))
    return arrays, None


def _mat(path: Path) -> _Contents:
    import h5py
    from scipy.io import loadmat

    def read(name: str) -> np.ndarray:
        with h5py.File(path) as file:
            return np.asarray(file[name][()].T)

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            data = {
                k: v
                for k, v in file.items()
                if hasattr(v, "dtype") and v.attrs.get("MATLAB_class") != b"char"
            }
            arrays: dict[str, _Stored] = {
                k: (v.shape[::-1], v.dtype, partial(read, k)) for k, v in data.items()
            }
    else:
        dense = {k: v.toarray() if hasattr(v, "toarray") else v for k, v in loadmat(path).items()}
        arrays = {k: _stored(v) for k, v in dense.items() if isinstance(v, np.ndarray)}
    return {name: stored for name, stored in arrays.items() if stored[1].kind in "buifc"}, None


def _idx(path: Path, opener: Callable[..., Any]) -> _Contents:
    with opener(path, "rb") as stream:
        magic, content = stream.read(4), stream.read()
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES:
        raise _Fault(
            f"expected an IDX header, got the bytes {magic.hex(' ')}; check that the file is IDX"
        )
    dtype, start = np.dtype(_IDX_TYPES[magic[2]]), 4 * magic[3]
    shape = tuple(int(size) for size in np.frombuffer(content[:start], ">u4"))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise _Fault(
            f"expected {expected + 4} bytes for shape {shape}, got {len(content) + 4}; write it "
            "again"
        )
    return {"": _stored(np.frombuffer(content, dtype, offset=start).reshape(shape))}, None


def _parquet(path: Path) -> _Contents:
    import pandas as pd

    frame = pd.read_parquet(path)
    for name, dtype in frame.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype):
            raise _Fault(
                f"expected numbers in column {name!r}, got {dtype}; drop it or encode it as numbers"
            )
    values = frame.to_numpy()
    values = frame.to_numpy(dtype=float, na_value=np.nan) if values.dtype == object else values
    return {"": _stored(values)}, tuple(map(str, frame.columns))


def _text(path: Path, opener: Callable[..., Any], delimiter: str | None) -> _Contents:
    with opener(path, "rt", encoding="utf-8-sig") as text:
        table = filter(
            None, csv.reader(text, delimiter=delimiter) if delimiter else map(str.split, text)
        )
        first = [cell.strip() for cell in next(table, [""])]
        header = all(_number(cell) is None for cell in first)
        rows = table if header else itertools.chain([first], table)
        values = np.fromiter(_parse(rows, 1 + header, len(first)), np.dtype((float, (len(first),))))
    return {"": _stored(values)}, tuple(first) if header else None


def _parse(table: Iterable[list[str]], start: int, width: int) -> Iterator[list[float | None]]:
    for row, cells in enumerate(table, start):
        numbers = [_number(cell) for cell in cells]
        if None in numbers:
            column = numbers.index(None)
            got = f"{cells[column]!r} in row {row}, column {column + 1}"
            raise _Fault(
                f"expected numbers below at most one row of names, got {got}; write nan for a "
                "missing number"
            )
        if len(cells) != width:
            raise _Fault(
                f"expected {width} columns as in row 1, got {len(cells)} in row {row}; mend that "
                "row"
            )
        yield numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_OPENERS = (("", open), (".gz", gzip.open))
_TEXT = {".csv": ",", ".tsv": "\t", ".amat": None}
_READERS: dict[str, Callable[[Path], _Contents]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".mat": _mat,
    ".parquet": _parquet,
}
_READERS |= {
    s + gz: partial(_text, opener=opener, delimiter=d)
    for s, d in _TEXT.items()
    for gz, opener in _OPENERS
}
_READERS |= {
    s + gz: partial(_idx, opener=opener) for s in (".idx", "-ubyte") for gz, opener in _OPENERS
}
