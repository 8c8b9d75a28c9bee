"""AnnData files: X, layers, raw and embeddings with the names of cells and genes.

The files are written here as the format describes them; `anndata` itself is not needed.
"""

import h5py
import numpy as np
import pytest
import scipy.sparse

from pyro_vae.cli.main import main
from pyro_vae.data import SparseArray, load, load_splits, read, reading

COUNTS = np.random.default_rng(0).poisson(0.8, size=(30, 4)).astype(np.float32)
LOGS = np.log1p(COUNTS)
CELLS = tuple(f"cell-{i}" for i in range(30))
GENES = ("Actb", "Gapdh", "Cd3e", "Ms4a1")


def write_matrix(file, name, matrix, **options):
    """An array as a dataset; a sparse matrix as a group of three."""
    if isinstance(matrix, np.ndarray):
        dataset = file.create_dataset(name, data=matrix, **options)
        dataset.attrs["encoding-type"] = "array"
        return
    group = file.create_group(name)
    group.attrs["encoding-type"] = f"{matrix.format}_matrix"
    group.attrs["encoding-version"] = "0.1.0"
    group.attrs["shape"] = matrix.shape
    for part in ("data", "indices", "indptr"):
        group.create_dataset(part, data=getattr(matrix, part), **options)


def write_table(file, name, index):
    """A table without columns: its index alone."""
    table = file.create_group(name)
    table.attrs["encoding-type"] = "dataframe"
    table.attrs["_index"] = "names"
    table.create_dataset("names", data=list(index), dtype=h5py.string_dtype())


def write(path, x, *, cells=CELLS, genes=GENES, layers=(), raw=None, obsm=()):
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        write_table(file, "obs", cells)
        write_table(file, "var", genes)
        if x is not None:
            write_matrix(file, "X", x)
        for name, layer in dict(layers).items():
            write_matrix(file, f"layers/{name}", layer)
        for name, matrix in dict(obsm).items():
            write_matrix(file, f"obsm/{name}", matrix)
        if raw is not None:
            write_matrix(file, "raw/X", raw[0])
            write_table(file, "raw/var", raw[1])
    return path


def refuses(message, path, **options):
    for function in (load, load_splits):
        with pytest.raises(ValueError, match=message):
            function(path, **options)


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix"])
def test_sparse_x_with_the_names_of_cells_and_genes(form, tmp_path):
    matrix = getattr(scipy.sparse, form)(COUNTS)
    path = write(tmp_path / "x.h5ad", matrix)
    rows = load(path)
    assert isinstance(rows, scipy.sparse.csr_array)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.toarray(), COUNTS)
    splits = load_splits(path)
    assert isinstance(splits.train, SparseArray)
    assert (splits.name, splits.labels, splits.columns) == ("x", CELLS, GENES)
    assert splits.notes == ()


def test_dense_x_stays_in_its_file_where_it_lies_in_one_piece(tmp_path):
    path = write(tmp_path / "x.h5ad", COUNTS)
    rows = load(path)
    assert isinstance(rows, np.memmap)
    assert rows.mode == "r"
    np.testing.assert_array_equal(rows, COUNTS)
    with h5py.File(path, "a") as file:
        del file["X"]
        write_matrix(file, "X", COUNTS, chunks=(7, 2), compression="gzip")
    rows = load(path)
    assert not isinstance(rows, np.memmap)
    np.testing.assert_array_equal(rows, COUNTS)
    assert load_splits(path).labels == CELLS


def test_x_is_chosen_among_several_and_counts_elsewhere_are_pointed_out(tmp_path):
    wide = np.concatenate([COUNTS, COUNTS], 1)
    genes = tuple(f"g{i}" for i in range(8))
    path = write(
        tmp_path / "x.h5ad",
        LOGS,
        layers={"counts": scipy.sparse.csr_matrix(COUNTS), "scaled": LOGS / 3},
        raw=(wide, genes),
        obsm={"X_pca": LOGS[:, :2]},
    )
    splits = load_splits(path)
    np.testing.assert_array_equal(splits.train, LOGS)
    assert splits.notes == (
        "rows are X (30, 4) float32, the main matrix of AnnData; left out: layers/counts (30, 4) "
        "float32 sparse, layers/scaled (30, 4) float32, raw/X (30, 8) float32, obsm/X_pca (30, 2) "
        "float32",
        "X holds other numbers than counts, and layers/counts holds counts: for a likelihood of "
        "counts pass array='layers/counts' (--set data.array=layers/counts)",
    )
    for name, expected, columns in (
        ("layers/counts", COUNTS, GENES),
        ("raw/X", wide, genes),
        ("obsm/X_pca", LOGS[:, :2], None),
    ):
        chosen = load_splits(path, array=name)
        np.testing.assert_array_equal(chosen.train, expected)
        assert (chosen.labels, chosen.columns) == (CELLS, columns)
    refuses(
        r"an array named 'counts', got X \(30, 4\) float32, layers/counts",
        path,
        array="counts",
    )


def test_without_x_one_of_several_has_to_be_named(tmp_path):
    path = write(tmp_path / "x.h5ad", None, layers={"counts": COUNTS})
    np.testing.assert_array_equal(load(path), COUNTS)
    path = write(tmp_path / "x.h5ad", None, layers={"counts": COUNTS, "logs": LOGS})
    refuses(
        r"expected one array .* got layers/counts .*, layers/logs .*; pass array=", path
    )


def test_older_files(tmp_path):
    """Before anndata 0.7 tables are compound datasets, and a sparse X has other attributes."""
    path = tmp_path / "x.h5ad"
    matrix = scipy.sparse.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["h5sparse_format"] = b"csr"
        group.attrs["h5sparse_shape"] = np.array(matrix.shape)
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(matrix, part)
        for name, index in (("obs", CELLS), ("var", GENES)):
            table = np.array(
                [(one.encode(), 1.5) for one in index], [("index", "S9"), ("n", "f4")]
            )
            file[name] = table
    splits = load_splits(path)
    np.testing.assert_array_equal(splits.train, COUNTS)
    assert (splits.labels, splits.columns) == (CELLS, GENES)


def test_names_that_may_be_missing(tmp_path):
    path = write(tmp_path / "x.h5ad", COUNTS)
    with h5py.File(path, "a") as file:
        del file["obs/names"]
        strings = file.create_group("obs/names")
        strings.attrs["encoding-type"] = "nullable-string-array"
        strings.create_dataset("values", data=list(CELLS), dtype=h5py.string_dtype())
        strings["mask"] = np.zeros(len(CELLS), bool)
    assert load_splits(path).labels == CELLS


def test_files_that_are_no_anndata(tmp_path):
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w") as file:
        file["X"] = COUNTS
    refuses(
        r"expected the groups obs and var of AnnData, got \['X'\]; write it by", path
    )
    path.write_bytes(b"no data" * 100)
    refuses("expected a complete file of its format", path)
    write(path, COUNTS[:0], cells=())
    refuses(r"at least one row .* got shape \(0, 4\)", path)


def test_a_table_keeps_the_names_of_cells_and_genes(tmp_path, monkeypatch):
    path = write(
        tmp_path / "x.h5ad", scipy.sparse.csr_matrix(COUNTS), layers={"logs": LOGS}
    )
    made = read(path)
    assert (made.labels, made.names) == (CELLS, GENES)
    np.testing.assert_array_equal(made.values, COUNTS)
    assert made.notes[0].startswith(
        "rows are X (30, 4) float32 sparse, the main matrix"
    )
    write(path, COUNTS, genes=("Actb", "Actb", "Cd3e", "Ms4a1"))
    assert read(path).names == ("Actb", "Actb (2)", "Cd3e", "Ms4a1")
    write(path, scipy.sparse.csr_matrix(COUNTS))
    monkeypatch.setattr(reading, "DENSE", COUNTS.size - 1)
    with pytest.raises(
        ValueError, match=r"x\.h5ad: .* got a sparse matrix of shape \(30, 4\); r"
    ):
        read(path)


def test_names_of_columns_where_a_file_has_none(tmp_path):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_matrix(COUNTS))
    made = read(tmp_path / "x.npz")
    assert made.names == ("column 0", "column 1", "column 2", "column 3")
    assert made.labels is None
    np.savez(tmp_path / "x.npz", train=COUNTS, test=COUNTS)
    with pytest.raises(
        ValueError, match="expected one array, got several splits; pass array="
    ):
        read(tmp_path / "x.npz")
    np.testing.assert_array_equal(read(tmp_path / "x.npz", array="test").values, COUNTS)


@pytest.mark.slow
def test_the_command_says_what_it_takes_and_keeps_the_names_of_genes(tmp_path, capsys):
    layers = {"counts": scipy.sparse.csr_matrix(COUNTS)}
    path = write(tmp_path / "cells.h5ad", LOGS, layers=layers)
    little = ["--set", "fit.epochs=1", "--set", "evaluate.num_particles=10"]
    folder = str(tmp_path / "run")
    assert main(["fit", str(path), "--output", folder, *little]) == 0
    said = capsys.readouterr().out
    assert (
        "cells: 24 rows to fit, 6 held out\nrows are X (30, 4) float32, the main"
        in said
    )
    assert "layers/counts holds counts: for a likelihood of counts pass" in said
    little += [
        "--set",
        "data.array=layers/counts",
        "--output",
        str(tmp_path / "counts"),
    ]
    assert main(["fit", str(path), *little]) == 0
    assert "X (30, 4)" not in capsys.readouterr().out
