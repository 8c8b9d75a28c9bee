"""Read rows: a name or a path in, arrays out."""

import difflib
import gzip
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from pyro_vae.data.binary_files import read_idx, read_mat, read_npy, read_npz
from pyro_vae.data.stored import Contents, Fault, Stored, errors_name, in_memory
from pyro_vae.data.table_files import read_table, suffix_of
from pyro_vae.data.text_lines import COMPRESSIONS

Reader = Callable[[Path], Contents]

BUNDLED = "digits"


@dataclass(frozen=True, eq=False)
class Splits:
    """The rows of one source, divided as the source divides them.

    Arguments:
        name: "digits", or the file's stem.
        train, valid, test: (n, *data_shape) in the source's own unit; None for a split that the
            source lacks.
        columns: the columns' names, for tables that carry names; otherwise None.

    Example:
        >>> rows = np.zeros((5, 2))
        >>> Splits("mine", rows, valid=None, test=None, columns=("a", "b")).columns
        ('a', 'b')
    """

    name: str
    train: np.ndarray
    valid: np.ndarray | None
    test: np.ndarray | None
    columns: tuple[str, ...] | None


def load(
    source: str | os.PathLike[str],
    *,
    array: str | None = None,
    packed_bits: bool = False,
) -> np.ndarray:
    """Read one array of rows from a bundled name or a file.

    Arguments:
        source: "digits" (scikit-learn's 8 x 8 images, counts 0 to 16), or a path to .npy (opened as
            a read-only memory map), .npz, .mat or IDX (also .gz), or to a table of numbers: text
            of any delimiter (.csv, .tsv, .txt, .dat, .data, .amat, also .gz, .bz2, .xz, .zip),
            .parquet, .feather, .xlsx and others that `pyro_vae.data.table_files` reads.
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
    with errors_name(os.fspath(source)):
        arrays = _open(source).arrays
        name = _choose(arrays, array)
        return _rows(name, arrays[name], packed_bits)


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
        arrays, columns = _open(source)
        names = _named_splits(arrays) if array is None else {}
        if "train" not in names:
            names = {"train": _choose(arrays, array)}
        parts = {
            split: _rows(name, arrays[name], packed_bits)
            for split, name in names.items()
        }
        if len({rows.shape[1:] for rows in parts.values()}) > 1:
            shapes = {split: rows.shape for split, rows in parts.items()}
            raise Fault(
                f"expected rows of one shape in all splits, got {shapes}; pass array= to take one"
            )
    return Splits(
        _stem(Path(source)),
        train=parts["train"],
        valid=parts.get("valid"),
        test=parts.get("test"),
        columns=None if packed_bits else columns,
    )


def _stem(path: Path) -> str:
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


def _choose(arrays: dict[str, Stored], array: str | None) -> str:
    """The name of the array to read: the one asked for, or the only one that can hold rows."""
    available = [f"{name or 'unnamed'} {stored}" for name, stored in arrays.items()]
    got = ", ".join(available) or "none"
    if array is not None:
        if array not in arrays or not array:
            raise Fault(
                f"expected an array named {array!r}, got {got}; pass one of these names or leave "
                "array= out"
            )
        return array
    tables = [
        name for name, one in arrays.items() if one.holds_numbers and len(one.shape) > 1
    ]
    names = tables or list(arrays)
    if len(names) != 1:
        remedy = "pass array= with one of these names" if names else "save one"
        raise Fault(
            f"expected one array of numbers of shape (n, ...), got {got}; {remedy}"
        )
    return names[0]


SPLITS = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}
FORMS = ("{}", "x{}", "{}x", "{}data", "{}images")
SPLIT_NAMES = {
    form.format(word): split for word, split in SPLITS.items() for form in FORMS
}


def _named_splits(names: Iterable[str]) -> dict[str, str]:
    """Each split that an array is named after, and the name of that array."""
    claims = [
        (SPLIT_NAMES.get(name.lower().replace("_", ""), ""), name) for name in names
    ]
    chosen = {split: name for split, name in claims if split}
    rivals = [name for split, name in claims if split and chosen[split] != name]
    if rivals:
        raise Fault(
            f"expected one array for each split, got {rivals} as well as {chosen}; pass array= to "
            "take one"
        )
    return chosen


def _rows(name: str, stored: Stored, packed_bits: bool) -> np.ndarray:
    """The rows of a checked array: booleans as uint8, in the machine's byte order, writable."""
    label = f"array {name!r}" if name else "an array"
    _check_type(label, stored)
    _check_shape(label, stored)
    if packed_bits:
        _check_packed_bits(label, stored)
    rows = stored.read()
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
    if stored.dtype != np.uint8 or len(stored.shape) != 2:
        raise Fault(
            f"expected {label} of packed bits, uint8 (n, bytes), got {stored.dtype} "
            f"{stored.shape}; leave packed_bits out"
        )


READERS: dict[str, Reader] = {".npy": read_npy, ".npz": read_npz, ".mat": read_mat}
for suffix in (".idx", "-ubyte"):
    READERS[suffix] = partial(read_idx, opener=open)
    READERS[f"{suffix}.gz"] = partial(read_idx, opener=gzip.open)
