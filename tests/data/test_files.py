"""Every format returns the array that was written, and every mistake is named."""

import gzip
import os
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from sklearn.datasets import load_digits

from pyro_vae.data.files import load, load_splits

X = np.arange(12.0).reshape(4, 3) - 1.5
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    header = (
        bytes([0, 0, IDX_CODES[values.dtype.str[1:]], values.ndim])
        + np.array(values.shape, dtype=">u4").tobytes()
    )
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def text(delimiter: str) -> bytes:
    """X as lines of numbers."""
    return "".join(delimiter.join(map(repr, row)) + "\n" for row in X.tolist()).encode()


def write_hdf5(path, **arrays):
    """What MATLAB calls a v7.3 file: HDF5 after a block of 512 bytes, each array transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            file[name] = values.T


def refuses(message, source, **options):
    """Both functions raise a ValueError which says so."""
    for read in (load, load_splits):
        with pytest.raises(ValueError, match=message):
            read(source, **options)


WRITERS = {
    "x.npy": lambda path: np.save(path, X),
    "x.npz": lambda path: np.savez(path, X),
    "labelled.npz": lambda path: np.savez_compressed(
        path, rows=X, labels=np.arange(4), notes=np.array([["a"]])
    ),
    "x.csv": lambda path: path.write_bytes(text(",")),
    "UPPER.CSV": lambda path: path.write_bytes(text(",")),
    "windows.csv": lambda path: path.write_bytes(
        b"\xef\xbb\xbf" + text(",").replace(b"\n", b"\r\n")
    ),
    "x.tsv": lambda path: path.write_bytes(text("\t")),
    "x.amat": lambda path: path.write_bytes(text("  ")),
    "x.csv.gz": lambda path: path.write_bytes(gzip.compress(text(","))),
    "x.amat.gz": lambda path: path.write_bytes(gzip.compress(text(" "))),
    "x.parquet": lambda path: pd.DataFrame(X, columns=list("abc")).to_parquet(path),
    "v5.mat": lambda path: scipy.io.savemat(path, {"rows": X, "note": "hello"}),
    "v73.mat": lambda path: write_hdf5(path, rows=X),
    "x.idx": lambda path: path.write_bytes(idx(X)),
    "x.idx.gz": lambda path: path.write_bytes(gzip.compress(idx(X))),
    "train-images-idx3-ubyte": lambda path: path.write_bytes(idx(X)),
    "t10k-images.idx3-ubyte.gz": lambda path: path.write_bytes(gzip.compress(idx(X))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_round_trip(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    rows = load(path)
    np.testing.assert_array_equal(rows, X)
    assert rows.dtype == np.float64
    assert rows.flags.c_contiguous
    assert isinstance(rows, np.memmap) or rows.flags.writeable
    np.testing.assert_array_equal(load(os.fspath(path)), X)


def test_digits_are_scikit_learns_counts():
    x = load("digits")
    assert x.shape == (1797, 64)
    assert x.dtype == np.uint8
    assert (x.min(), x.max()) == (0, 16)
    assert x.sum(dtype=int) == load_digits().data.sum()


def test_the_bundled_name_wins_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert load("digits").shape == (1797, 64)
    refuses(r"\./digits: expected a file, got a folder", "./digits")


def test_npy_stays_on_disk(tmp_path):
    for values, dtype in ((X, np.float64), (X > 0, np.uint8)):
        np.save(tmp_path / "x.npy", values)
        rows = load(tmp_path / "x.npy")
        assert isinstance(rows, np.memmap)
        assert rows.mode == "r"
        assert rows.dtype == dtype


def test_foreign_byte_order_becomes_native(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(">f4"))
    rows = load(tmp_path / "x.npy")
    assert rows.dtype.isnative
    np.testing.assert_array_equal(rows, X)


@pytest.mark.parametrize("version", ["v5", "v73"])
def test_mat_is_c_contiguous_in_more_dimensions(version, tmp_path):
    path, values = tmp_path / f"{version}.mat", np.asfortranarray(IMAGES)
    scipy.io.savemat(path, {"x": values}) if version == "v5" else write_hdf5(
        path, x=values
    )
    rows = load(path)
    assert rows.flags.c_contiguous
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows, IMAGES)


def test_hdf5_mat_leaves_out_what_is_no_array_of_numbers(tmp_path):
    write_hdf5(tmp_path / "x.mat", rows=X, note=np.zeros((1, 5), dtype=np.uint16))
    with h5py.File(tmp_path / "x.mat", "a") as file:
        file["note"].attrs["MATLAB_class"] = np.bytes_("char")
        file.create_group("#refs#")
        file.create_dataset("cells", (1, 2), dtype=h5py.ref_dtype)
    refuses(
        r"expected an array named 'note', got rows \(4, 3\) float64 \(can't be rows: "
        r"cells \(dtype object\), note \(char\)\); pass",
        tmp_path / "x.mat",
        array="note",
    )
    np.testing.assert_array_equal(load(tmp_path / "x.mat"), X)


@pytest.mark.parametrize("kind", IDX_CODES)
def test_idx_types(kind, tmp_path):
    values = np.array([[[1], [2]], [[100], [127]]], dtype=kind)
    (tmp_path / "x.idx").write_bytes(idx(values))
    rows = load(tmp_path / "x.idx")
    assert (rows.dtype, rows.flags.writeable) == (np.dtype(kind), True)
    np.testing.assert_array_equal(rows, values)


def test_idx_length_is_checked(tmp_path):
    for content, got in ((idx(IMAGES)[:-5], 35), (idx(IMAGES) + b"abc", 43)):
        (tmp_path / "x.idx").write_bytes(content)
        refuses(
            rf"x\.idx: expected 40 bytes for shape \(2, 3, 4\), got {got}",
            tmp_path / "x.idx",
        )


def test_packed_bits(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, size=(50, 24), dtype=np.uint8)
    packed = np.packbits(bits, axis=1)
    np.save(tmp_path / "x.npy", packed)
    rows = load(tmp_path / "x.npy", packed_bits=True)
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows, bits)
    np.testing.assert_array_equal(rows, np.unpackbits(packed, axis=1))
    np.testing.assert_array_equal(
        load_splits(tmp_path / "x.npy", packed_bits=True).train, bits
    )


@pytest.mark.parametrize(
    "values", [X, IMAGES, IMAGES[0] > 3], ids=["float", "3-d", "bool"]
)
def test_packed_bits_are_bytes_in_two_dimensions(values, tmp_path):
    np.save(tmp_path / "x.npy", values)
    refuses(
        r"x\.npy: expected an array of packed bits, uint8 \(n, bytes\), got",
        tmp_path / "x.npy",
        packed_bits=True,
    )


CSV = {
    "a,b\n1,2\n3,4\n": (("a", "b"), (2, 2)),
    "1,2\n3,4\n": (None, (2, 2)),
    '"a","b, c"\n"1", 2\n': (("a", "b, c"), (1, 2)),
    "only\n1\n\n2\n": (("only",), (2, 1)),
    "nan,inf\n-1e3,2": (None, (2, 2)),
    "a,b\n1,2\n,4\n": (("a", "b"), (2, 2)),
    '"",a\n"1",5\n"2",6\n': (("a",), (2, 1)),
}
BAD_CSV = {
    "1,2\n3,abc\n": r"numbers in column '1', got (str|object), 'abc' in line 2; .*read\('.*csv'\)",
    "1,2,label\n1,2,3\n": r"names or numbers in the first line, got 'label' beside '1'; .*header=",
    "1,2\n3\n": r"expected 2 cells as in line 1, got 1 in line 2",
    "a,b,c\n1,2\n": r"expected 3 cells as in line 1, got 2 in line 2",
    "a,b\n": r"expected rows below the names, got none",
    "\n\n": r"at least one row",
}


@pytest.mark.parametrize("content", CSV)
def test_csv_header(content, tmp_path):
    (tmp_path / "x.csv").write_text(content)
    splits = load_splits(tmp_path / "x.csv")
    assert (splits.columns, splits.train.shape) == CSV[content]


@pytest.mark.parametrize("content", BAD_CSV)
def test_csv_errors_name_the_line_or_the_column(content, tmp_path):
    (tmp_path / "x.csv").write_text(content)
    refuses(r"x\.csv: .*" + BAD_CSV[content], tmp_path / "x.csv")


def test_parquet_columns(tmp_path, monkeypatch):
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]})
    frame.to_parquet(tmp_path / "x.parquet")
    splits = load_splits(tmp_path / "x.parquet")
    assert splits.columns == ("a", "b")
    np.testing.assert_array_equal(splits.train, [[1, 1], [np.nan, 0]])
    frame.assign(c=["x", "y"]).to_parquet(tmp_path / "s.parquet")
    refuses(
        r"s\.parquet: expected numbers in column 'c', got (str|object)",
        tmp_path / "s.parquet",
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refuses(
        r"x\.parquet: expected the package pyarrow, .*; install it: pip install pyarrow",
        tmp_path / "x.parquet",
    )


def test_one_of_several_arrays(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=X, b=IMAGES, y=np.arange(4))
    refuses(
        r"x\.npz: .* got a \(4, 3\) float64, b \(2, 3, 4\) uint8, y \(4,\) int64; pass array=",
        path,
    )
    np.testing.assert_array_equal(load(path, array="b"), IMAGES)
    np.testing.assert_array_equal(load_splits(path, array="b").train, IMAGES)
    refuses(r"expected an array named 'c', got a \(4, 3\)", path, array="c")
    refuses(
        r"array 'y' of shape \(n, ...\), got \(4,\); reshape .* to \(n, 1\)",
        path,
        array="y",
    )
    refuses(r"digits: .*leave array= out", "digits", array="a")


NAMES = [
    "train valid test",
    "TRAIN Validation Test",
    "X_train X_val X_test",
    "train_data val_data test_data",
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_splits_by_name(names, suffix, tmp_path):
    arrays = {name: X[: 4 - i] for i, name in enumerate(names.split())}
    others = {"y_train": np.ones((4, 1)), "labels": np.ones((4, 2))}
    path = tmp_path / f"mine.{suffix}"
    np.savez(path, **arrays, **others) if suffix == "npz" else scipy.io.savemat(
        path, arrays | others
    )
    splits = load_splits(path)
    assert splits.name == "mine"
    for rows, expected in zip(
        (splits.train, splits.valid, splits.test), arrays.values(), strict=True
    ):
        np.testing.assert_array_equal(rows, expected)


def test_missing_and_disagreeing_splits(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text(",")))
    np.savez(tmp_path / "x.npz", x_train=X, y_train=np.arange(4))
    for splits in (load_splits(tmp_path / "x.csv.gz"), load_splits(tmp_path / "x.npz")):
        assert (splits.name, splits.valid, splits.test, splits.columns) == (
            "x",
            None,
            None,
            None,
        )
        np.testing.assert_array_equal(splits.train, X)
    np.savez(tmp_path / "y.npz", train=X, test=X[:, :2])
    with pytest.raises(
        ValueError, match=r"one shape in all splits, got .*\(4, 3\).*\(4, 2\)"
    ):
        load_splits(tmp_path / "y.npz")
    np.savez(tmp_path / "z.npz", train=X, x_train=X)
    with pytest.raises(ValueError, match=r"one array for each split, got .*x_train"):
        load_splits(tmp_path / "z.npz")


class Trap:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [np.save, np.savez])
def test_nothing_is_unpickled(write, tmp_path):
    path = tmp_path / ("x.npy" if write is np.save else "x.npz")
    write(path, np.array([[Trap(tmp_path / "sprung"), 1.0]], dtype=object))
    refuses(
        r"object arrays are not read, because reading them runs code; save as a numeric array",
        path,
    )
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "name",
    ["x.npy", "x.npz", "x.mat", "x.parquet", "x.idx", "x.csv", "x.idx.gz", "x.csv.gz"],
)
def test_files_that_hold_something_else(name, tmp_path):
    for content, message in (
        (b"\xff\x00 no data \xfe" * 100, "expected"),
        (b"", "expected data, got an empty file"),
    ):
        (tmp_path / name).write_bytes(content)
        refuses(f"{name}: {message}", tmp_path / name)


@pytest.mark.parametrize(
    "name", ["x.npy", "x.npz", "x.parquet", "v5.mat", "v73.mat", "x.csv.gz", "x.idx.gz"]
)
def test_truncated_files(name, tmp_path):
    WRITERS[name](tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
    with pytest.raises(
        ValueError,
        match=rf"{name}: expected a complete file of its format, got .*; write it",
    ) as info:
        load(tmp_path / name)
    assert info.value.__cause__ is not None


def test_arrays_that_are_no_rows(tmp_path):
    for values, message in (
        (
            X[0],
            r"expected an array of shape \(n, ...\), got \(3,\); reshape n single numbers to \(n, "
            r"1\)",
        ),
        (X[:0], r"at least one row .* got shape \(0, 3\)"),
        (X * 1j, r"real numbers, got dtype complex128"),
        (X.astype(str), r"real numbers, got dtype <U"),
    ):
        np.save(tmp_path / "x.npy", values)
        refuses(r"x\.npy: .*" + message, tmp_path / "x.npy")


def test_missing_and_unknown_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.doc").write_bytes(b"PK")
    refuses(
        r'digit: .* the only bundled name, "digits", .* did you mean "digits"\?',
        "digit",
    )
    refuses(r'trian\.doc: .* did you mean "train\.doc"\?', "trian.doc")
    refuses(r"no/such\.npy: .* got neither; check the path", "no/such.npy")
    refuses(
        r"train\.doc: expected one of \.npy .*-ubyte.*, got suffix '\.doc'",
        "train.doc",
    )
