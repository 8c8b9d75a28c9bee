"""MATLAB files as MATLAB writes them: numbers are read, sparse too, and nothing else is taken."""

import struct

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from pyro_vae.data import SparseArray, load, load_splits

X = np.arange(12.0).reshape(4, 3) - 1.5
SPARSE = np.array([[0, 2.5, 0], [1, 0, 0], [0, 0, 0], [4, 0, 3]])


class V73:
    """A file of version 7.3: HDF5 behind 512 bytes, with the attributes that MATLAB sets."""

    def __init__(self, path):
        self.file = h5py.File(path, "w", userblock_size=512)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def _add(self, name, values, kind, **attributes):
        node = self.file.create_dataset(name, data=values)
        node.attrs["MATLAB_class"] = np.bytes_(kind)
        for attribute, value in attributes.items():
            node.attrs[attribute] = value

    def numbers(self, name, values, kind="double"):
        self._add(name, values.T, kind)

    def text(self, name, text):
        codes = np.array([[ord(letter)] for letter in text], np.uint16)
        self._add(name, codes, "char", MATLAB_int_decode=np.int32(2))

    def pointers(self, name, kind):
        """A table, string or datetime: six numbers that lead into #subsystem#."""
        numbers = np.array([[3707764736, 2, 1, 1, 1, 1]], np.uint32)
        self._add(name, numbers, kind, MATLAB_object_decode=np.int32(3))

    def cell(self, name):
        self.file.require_group("#refs#").require_dataset("a", (1, 1), float)
        cells = self.file.create_dataset(name, (2, 1), h5py.ref_dtype)
        cells[:] = self.file["#refs#/a"].ref
        cells.attrs["MATLAB_class"] = np.bytes_("cell")

    def structure(self, name):
        group = self.file.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        group.create_dataset("field", data=X.T)

    def empty(self, name):
        size = np.array([0, 3], np.uint64)
        self._add(name, size, "double", MATLAB_empty=np.uint8(1))

    def complex(self, name):
        pair = np.zeros((3, 4), [("real", float), ("imag", float)])
        self._add(name, pair, "double")

    def sparse(self, name, dense, kind="double"):
        columns = scipy.sparse.csc_array(dense)
        group = self.file.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_(kind)
        group.attrs["MATLAB_sparse"] = np.uint64(dense.shape[0])
        group["jc"] = columns.indptr.astype(np.uint64)
        if columns.nnz:
            group["ir"] = columns.indices.astype(np.uint64)
            group["data"] = columns.data


def refuses(message, path, **options):
    for read in (load, load_splits):
        with pytest.raises(ValueError, match=message):
            read(path, **options)


# Version 7.3


def test_sparse_rows_of_73_are_read_and_not_their_labels(tmp_path):
    """The labels y beside a sparse X were the rows, since a group was no array."""
    with V73(tmp_path / "x.mat") as file:
        file.sparse("X", SPARSE)
    rows = load(tmp_path / "x.mat")
    assert isinstance(rows, scipy.sparse.csr_array)
    np.testing.assert_array_equal(rows.toarray(), SPARSE)
    with V73(tmp_path / "x.mat") as file:
        file.sparse("X", SPARSE)
        file.numbers("y", np.ones((4, 1)))
    refuses(
        r"expected one array .* got X \(4, 3\) float64 sparse, y \(4, 1\) float64; pass array=",
        tmp_path / "x.mat",
    )
    np.testing.assert_array_equal(load(tmp_path / "x.mat", array="X").toarray(), SPARSE)
    assert isinstance(load_splits(tmp_path / "x.mat", array="X").train, SparseArray)


def test_sparse_truth_values_and_a_matrix_of_zeros(tmp_path):
    with V73(tmp_path / "x.mat") as file:
        file.sparse("flags", (SPARSE > 0).astype(np.uint8), "logical")
        file.sparse("nothing", np.zeros((5, 2)))
    flags = load(tmp_path / "x.mat", array="flags")
    assert flags.dtype == np.uint8
    np.testing.assert_array_equal(flags.toarray(), SPARSE > 0)
    nothing = load(tmp_path / "x.mat", array="nothing")
    np.testing.assert_array_equal(nothing.toarray(), np.zeros((5, 2)))


OTHERS = {
    "table": lambda file: file.pointers("thing", "table"),
    "string": lambda file: file.pointers("thing", "string"),
    "datetime": lambda file: file.pointers("thing", "datetime"),
    "char": lambda file: file.text("thing", "hello"),
    "cell": lambda file: file.cell("thing"),
    "struct": lambda file: file.structure("thing"),
    "empty double": lambda file: file.empty("thing"),
    "complex double": lambda file: file.complex("thing"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_array_of_numbers_is_named_with_its_class(kind, tmp_path):
    with V73(tmp_path / "x.mat") as file:
        OTHERS[kind](file)
    refuses(
        rf"x\.mat: expected an array of numbers, got thing \({kind}\); save an array in MATLAB, "
        r"such as X = table2array\(T\)",
        tmp_path / "x.mat",
    )
    with V73(tmp_path / "x.mat") as file:
        OTHERS[kind](file)
        file.numbers("rows", X)
    splits = load_splits(tmp_path / "x.mat")
    np.testing.assert_array_equal(splits.train, X)
    assert splits.notes == (
        "rows are rows (4, 3) float64, the only array of numbers of shape (n, ...); left out: "
        f"thing ({kind})",
    )
    refuses(
        rf"an array named 'thing', got rows \(4, 3\) float64 \(can't be rows: thing \({kind}\)\)",
        tmp_path / "x.mat",
        array="thing",
    )


def test_classes_of_numbers(tmp_path):
    for kind, dtype in (
        ("single", "f4"),
        ("int8", "i1"),
        ("uint64", "u8"),
        ("logical", "u1"),
    ):
        values = np.abs(X).round().astype(dtype)
        with V73(tmp_path / "x.mat") as file:
            file.numbers("x", values, kind)
        rows = load(tmp_path / "x.mat")
        assert rows.dtype == dtype
        np.testing.assert_array_equal(rows, values)


@pytest.mark.parametrize("version", ["v5", "v73"])
def test_images_along_the_last_axis_are_pointed_out(version, tmp_path):
    path, images = tmp_path / "x.mat", np.zeros((6, 5, 3, 20))
    if version == "v5":
        scipy.io.savemat(path, {"X": images})
    else:
        with V73(path) as file:
            file.numbers("X", images)
    splits = load_splits(path)
    assert splits.train.shape == images.shape
    assert splits.notes == (
        "X (6, 5, 3, 20) has 6 rows, along its first axis, and is longest along its last: if that "
        "one counts the rows, save permute(X, [4 1 2 3])",
    )


# Up to version 7.2


@pytest.mark.parametrize("form", ["4", "5"])
def test_sparse_rows_of_older_versions(form, tmp_path):
    matrix = scipy.sparse.csc_matrix(SPARSE)
    scipy.io.savemat(tmp_path / "x.mat", {"rows": matrix}, format=form)
    rows = load(tmp_path / "x.mat")
    assert isinstance(rows, scipy.sparse.csr_array)
    np.testing.assert_array_equal(rows.toarray(), SPARSE)


def element(kind, content):
    """A data element of version 5: its type, its length, its bytes, filled up to eight."""
    filled = content + b"\0" * (-len(content) % 8)
    return struct.pack("<II", kind, len(content)) + filled


def matrix(class_code, *parts):
    flags = element(6, struct.pack("<II", class_code, 0))
    return element(14, flags + b"".join(parts))


def double_matrix(name, values):
    size = element(5, struct.pack("<ii", *values.shape))
    numbers = element(9, values.astype("<f8").tobytes(order="F"))
    return matrix(6, size, element(1, name), numbers)


def opaque(name, class_name):
    """A table or string as MATLAB writes one: name, type system, class, and pointers."""
    size = element(5, struct.pack("<ii", 6, 1))
    pointers = element(6, struct.pack("<6I", 3707764736, 2, 1, 1, 1, 1))
    inner = matrix(13, size, element(1, b""), pointers)
    names = [element(1, text) for text in (name, b"MCOS", class_name)]
    return matrix(17, *names, inner)


def write_v5(path, *variables):
    head = b"MATLAB 5.0 MAT-file".ljust(116) + struct.pack("<QHH", 0, 0x0100, 0x4D49)
    path.write_bytes(head + b"".join(variables))


@pytest.mark.parametrize("kind", ["table", "string"])
def test_tables_and_strings_of_version_5_are_named(kind, tmp_path):
    path = tmp_path / "x.mat"
    write_v5(path, opaque(b"T", kind.encode()))
    refuses(rf"expected an array of numbers, got T \({kind}\); save an array in", path)
    write_v5(path, opaque(b"T", kind.encode()), double_matrix(b"rows", X))
    np.testing.assert_array_equal(load(path), X)
    (note,) = load_splits(path).notes
    assert note.endswith(f"left out: T ({kind})")
    write_v5(
        path, opaque(b"S", b"string"), double_matrix(b"rows", X), opaque(b"T", b"table")
    )
    np.testing.assert_array_equal(load(path), X)
    assert "T (table)" in load_splits(path).notes[0]


def test_cells_structures_and_text_of_version_5_are_named(tmp_path):
    path = tmp_path / "x.mat"
    cells = np.array([[1.0, "a"]], dtype=object)
    others = {"C": cells, "S": {"field": X}, "text": "hello"}
    scipy.io.savemat(path, others)
    refuses(r"got C \(cell\), S \(struct\), text \(char\); save an array", path)
    scipy.io.savemat(path, others | {"rows": X})
    np.testing.assert_array_equal(load(path), X)
    assert "C (cell), S (struct), text (char)" in load_splits(path).notes[0]
