"""Files of sparse matrices are read as sparse rows, and no number of them changes."""

import gzip

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from pyro_vae.cli.main import main
from pyro_vae.data import Selected, SparseArray, load, load_splits
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.run import run
from pyro_vae.experiment.sources import read_source
from pyro_vae.experiment.splits import hold_out
from pyro_vae.saving import read_run

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(0.6, size=(60, 5))
SMALL = np.array([[0, 2, 0], [1, 0, 0], [0, 0, 0], [4, 0, 3]], float)
FORMS = ["csr", "csc", "coo", "bsr", "dia"]


def refuses(message, path, **options):
    for read in (load, load_splits):
        with pytest.raises(ValueError, match=message):
            read(path, **options)


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", FORMS)
def test_npz_of_scipy(form, kind, tmp_path):
    matrix = getattr(scipy.sparse, f"{form}_{kind}")(SMALL)
    scipy.sparse.save_npz(tmp_path / "x.npz", matrix)
    rows = load(tmp_path / "x.npz")
    assert isinstance(rows, scipy.sparse.csr_array)
    assert rows.dtype == SMALL.dtype
    np.testing.assert_array_equal(rows.toarray(), SMALL)
    splits = load_splits(tmp_path / "x.npz")
    assert isinstance(splits.train, SparseArray)
    assert (splits.name, splits.valid, splits.notes) == ("x", None, ())
    np.testing.assert_array_equal(splits.train, SMALL)


def test_truth_values_come_as_bytes(tmp_path):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_array(SMALL > 0))
    rows = load(tmp_path / "x.npz")
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows.toarray(), SMALL > 0)


def test_sparse_files_that_hold_no_rows(tmp_path):
    path = tmp_path / "x.npz"
    for matrix, message in (
        (
            scipy.sparse.coo_array(np.ones((2, 3, 4))),
            r"\(n, columns\), got shape \(2, 3, 4\); ",
        ),
        (scipy.sparse.csr_array((0, 3)), r"at least one row .* got shape \(0, 3\)"),
        (scipy.sparse.csr_array(SMALL * 1j), "real numbers, got dtype complex128"),
    ):
        scipy.sparse.save_npz(path, matrix)
        refuses(message, path)
    scipy.sparse.save_npz(path, scipy.sparse.csr_array(SMALL.astype(np.uint8)))
    refuses(
        r"packed bits, uint8 \(n, bytes\), got uint8 .*leave", path, packed_bits=True
    )
    path.write_bytes(path.read_bytes()[:-20])
    refuses("expected a complete file of its format", path)


# Matrix Market


def market(path, header, *lines):
    text = "\n".join([f"%%MatrixMarket matrix {header}", "% a comment", *lines, ""])
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["x.mtx", "x.mtx.gz"])
def test_matrix_market_as_scipy_reads_it(name, tmp_path):
    """The outside reference is SciPy's reader, on files that it wrote itself."""
    scipy.io.mmwrite(tmp_path / "w.mtx", scipy.sparse.coo_array(COUNTS))
    content = (tmp_path / "w.mtx").read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    rows = load(path)
    assert isinstance(rows, scipy.sparse.csr_array)
    assert rows.dtype == np.int64
    np.testing.assert_array_equal(rows.toarray(), scipy.io.mmread(path).toarray())
    (note,) = load_splits(path).notes
    assert note.startswith("the rows are the 60 rows of the file, with 5 columns; 10x")


def test_fields_and_forms_of_matrix_market(tmp_path):
    path = tmp_path / "x.mtx"
    real = market(path, "coordinate real general", "2 3 2", "1 2 0.1", "2 3 -1e-300")
    assert load(real)[0, 1] == 0.1
    assert load(real)[1, 2] == -1e-300
    pattern = market(path, "coordinate pattern general", "2 2 2", "1 1", "2 2")
    np.testing.assert_array_equal(load(pattern).toarray(), np.eye(2))
    twice = market(path, "coordinate real general", "2 2 2", "1 1 1", "1 1 2")
    np.testing.assert_array_equal(load(twice).toarray(), [[3, 0], [0, 0]])
    empty = market(path, "coordinate integer general", "2 2 0")
    np.testing.assert_array_equal(load(empty).toarray(), np.zeros((2, 2)))
    dense = market(path, "array real general", "2 3", *"123456")
    np.testing.assert_array_equal(load(dense), [[1, 3, 5], [2, 4, 6]])


def test_integers_in_the_notation_of_r(tmp_path):
    """R writes 100000 as 1e+05, and SciPy's reader takes that for 1 in a file of integers."""
    path = market(
        tmp_path / "x.mtx", "coordinate integer general", "1 2 1", "1 2 1e+05"
    )
    rows = load(path)
    assert rows.dtype == np.int64
    np.testing.assert_array_equal(rows.toarray(), [[0, 100000]])


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        (
            "coordinate integer general",
            ["1 2 1", "1 2 2.5"],
            "expected whole numbers up to",
        ),
        ("coordinate real general", ["1 2 1", "1 2 1,5"], "1,5"),
        ("coordinate real general", ["1 2 1", "1 2 3abc"], "3abc"),
        (
            "coordinate real general",
            ["1 2 2", "1 2 3"],
            "expected 2 lines of 3 numbers, got 1",
        ),
        (
            "coordinate real general",
            ["1 2 1", "1 3 3"],
            "expected a complete file of its format",
        ),
        ("coordinate real symmetric", ["2 2 1", "2 1 3"], "a symmetric real one"),
        ("coordinate complex general", ["1 1 1", "1 1 3 1"], "a general complex one"),
    ],
)
def test_matrix_market_files_that_are_refused(header, lines, message, tmp_path):
    refuses(message, market(tmp_path / "x.mtx", header, *lines))


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
@pytest.mark.parametrize("stem", ["features", "genes"])
def test_a_folder_of_10x_genomics_has_cells_as_rows(stem, suffix, tmp_path):
    scipy.io.mmwrite(tmp_path / "matrix.mtx", scipy.sparse.coo_array(COUNTS.T))
    genes = "".join(f"ENSG{i}\tGene{i}\tGene Expression\n" for i in range(5))
    cells = "".join(f"AAAC-{i}\n" for i in range(60))
    for name, text in ((stem, genes), ("barcodes", cells)):
        content = text.encode()
        if suffix.endswith("gz"):
            content = gzip.compress(content)
        (tmp_path / f"{name}{suffix}").write_bytes(content)
    splits = load_splits(tmp_path / "matrix.mtx")
    np.testing.assert_array_equal(splits.train, COUNTS)
    assert splits.columns == tuple(f"ENSG{i}" for i in range(5))
    assert splits.labels == tuple(f"AAAC-{i}" for i in range(60))
    (note,) = splits.notes
    assert note.startswith("transposed, so that a row is a cell")
    (tmp_path / f"barcodes{suffix}").unlink()
    assert load(tmp_path / "matrix.mtx").shape == (5, 60)


# The command


@pytest.mark.slow
def test_a_sparse_file_is_an_experiment_with_the_numbers_of_its_dense_twin(tmp_path):
    scipy.sparse.save_npz(tmp_path / "counts.npz", scipy.sparse.csc_matrix(COUNTS))
    np.save(tmp_path / "dense.npy", COUNTS)
    made = {"latent_dim": 1, "hidden_dims": (8,), "fit": {"epochs": 2, "device": "cpu"}}
    settings = ["evaluate.num_particles=20"]
    outcomes = []
    for name in ("counts.npz", "dense.npy"):
        spec = {"data": str(tmp_path / name), **made}
        outcomes.append(run(spec, tmp_path / f"run of {name}", settings=settings))
    sparse, dense = outcomes
    assert sparse.metrics == dense.metrics
    prints = [read_run(one.folder)["fingerprint"] for one in outcomes]
    assert prints[0] == prints[1]
    assert {file.name for file in sparse.files} == {file.name for file in dense.files}


def test_rows_are_held_out_without_a_dense_matrix(tmp_path, monkeypatch):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_array(COUNTS))
    options = DataOptions(source=str(tmp_path / "x.npz"))
    with monkeypatch.context() as patch:
        patch.delattr(SparseArray, "__array__")
        rows = hold_out(read_source(options, None), options)
        images = read_source(options, (1, 5))
    assert isinstance(rows.train, Selected)
    assert isinstance(rows.test, SparseArray)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(rows.train.indices, np.sort(order[12:]))
    np.testing.assert_array_equal(rows.test, COUNTS[np.sort(order[:12])])
    np.testing.assert_array_equal(images.train, COUNTS.reshape(60, 1, 5))


def _fitted_rows():
    """The rows that are not held out, by the rule of `data.test` and `data.seed`."""
    return np.random.default_rng(0).permutation(60)[12:]


def test_the_command_evaluates_encodes_and_counts_known_rows(tmp_path, capsys):
    path = tmp_path / "counts.npz"
    scipy.sparse.save_npz(path, scipy.sparse.csr_array(COUNTS))
    folder = str(tmp_path / "run")
    little = ["--set", "fit.epochs=1", "--set", "evaluate.num_particles=10"]
    assert main(["fit", str(path), "--output", folder, *little]) == 0
    capsys.readouterr()
    few = ["--set", "evaluate.num_particles=10"]
    assert main(["evaluate", folder, *few]) == 0
    assert "held-out log p(x)" in capsys.readouterr().out
    assert main(["evaluate", folder, "--data", str(path), *few]) == 0
    known = {tuple(row) for row in COUNTS[_fitted_rows()]}
    expected = sum(tuple(row) in known for row in COUNTS)
    assert f"{expected} of 60 equal rows" in capsys.readouterr().out
    out = str(tmp_path / "codes.npz")
    assert main(["encode", folder, "--data", str(path), "--output", out]) == 0
    with np.load(out) as codes:
        assert len(codes["loc"]) == 60
