"""Sparse rows are the rows of their dense matrix, to the last digit, batch by batch."""

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pyro_vae import (
    VAE,
    annealed,
    anomaly,
    class_probabilities,
    compare,
    encode,
    evidence,
    fit,
    inference_gaps,
    reconstruct,
    to_arviz,
)
from pyro_vae.analysis import rate
from pyro_vae.analysis.figures.histograms import marginals
from pyro_vae.analysis.figures.images import image_grid
from pyro_vae.data import ArrayRows, Placement, Selected, SparseArray, arrays, as_rows
from pyro_vae.data.sparse import is_sparse
from pyro_vae.training.baseline import baseline_of

ROWS, WIDTH = 41, 6
RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(0.7, size=(ROWS, WIDTH)).astype(np.float32)
SCIPY = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]
LAYOUTS = ["coo", "csr", "csc", "bsr", "bsc"]
WIDE = Placement(dtype=torch.float64)
beta_csr = pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta")


def scipy_form(name, dense=COUNTS):
    kind, _, form = name.partition(" ")
    return getattr(scipy.sparse, f"{kind}_{form}")(dense)


def torch_form(layout, dense=COUNTS):
    blocks = ((ROWS, 2),) if layout.startswith("b") else ()
    return getattr(torch.from_numpy(dense), f"to_sparse_{layout}")(*blocks)


def cut(x, *, size=7, seed=None, shape=(WIDTH,)):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return list(as_rows(x, shape, WIDE).batches(size, generator))


def same(x, dense=COUNTS, **how):
    """Whether two sources give equal batches, in order and at random."""
    for seed in (None, 3):
        ours, theirs = cut(x, seed=seed, **how), cut(dense, seed=seed, **how)
        assert len(ours) == len(theirs) == 6
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == torch.float64
            assert one.layout == torch.strided
            assert torch.equal(one, other)
    return True


@pytest.mark.parametrize("form", ["matrix", "array"])
@pytest.mark.parametrize("kind", SCIPY)
def test_scipy_formats(kind, form):
    x = scipy_form(f"{kind} {form}")
    assert is_sparse(x)
    assert same(x)


@beta_csr
@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_layouts(layout):
    x = torch_form(layout)
    assert is_sparse(x)
    assert same(x)
    assert same(TensorDataset(torch_form("coo")))


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "g"]
)
def test_types_of_numbers(dtype):
    dense = COUNTS.astype(dtype)
    assert same(scipy.sparse.csr_array(dense), dense)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8])
def test_types_that_torch_alone_has(dtype):
    assert same(torch.from_numpy(COUNTS).to(dtype).to_sparse_coo())


def test_entries_of_one_position_are_summed_and_stored_zeros_are_zeros():
    values = np.array([1.0, 2.0, 0.0, 4.0])
    rows, columns = np.array([0, 0, 1, 2]), np.array([1, 1, 0, 2])
    dense = np.array([[0, 3, 0], [0, 0, 0], [0, 0, 4]], float)
    twice = scipy.sparse.csr_array((values, columns, [0, 2, 3, 4]), (3, 3))
    tensor = torch.sparse_coo_tensor(
        np.stack([rows, columns]), values, (3, 3), check_invariants=True
    )
    assert not tensor.is_coalesced()
    for x in (scipy.sparse.coo_array((values, (rows, columns))), twice, tensor):
        (batch,) = cut(x, shape=(3,))
        np.testing.assert_array_equal(batch, dense)


def test_rows_of_more_dimensions():
    images = RNG.poisson(0.5, size=(ROWS, 2, 3)).astype(np.float32)
    flat = images.reshape(ROWS, 6)
    for x in (
        scipy.sparse.csr_array(flat),  # has the shape that the model asks for
        scipy.sparse.coo_array(images),
        torch.from_numpy(images).to_sparse_coo(),
        SparseArray(scipy.sparse.csr_array(flat), (2, 3)),
    ):
        assert same(x, images, shape=(2, 3))


def test_some_rows_of_a_sparse_array():
    chosen = np.array([3, 1, 40])
    for x in (
        scipy.sparse.csc_array(COUNTS),
        SparseArray(scipy.sparse.coo_array(COUNTS)),
    ):
        (batch,) = cut(Selected(x, chosen))
        np.testing.assert_array_equal(batch, COUNTS[chosen])
    rows = as_rows(scipy.sparse.csr_array(COUNTS), (WIDTH,))
    part = rows.select(torch.tensor([5, 2])).select(torch.tensor([1]))
    np.testing.assert_array_equal(next(part.batches(9)), COUNTS[[2]])


def test_a_sparse_array_is_an_array_of_rows():
    x = SparseArray(scipy.sparse.csr_matrix(COUNTS))
    assert (len(x), x.shape, x.ndim, x.dtype) == (ROWS, COUNTS.shape, 2, np.float32)
    is_even = np.arange(ROWS) % 2 == 0
    for rows in (slice(3, 9), slice(None, None, 4), np.array([7, 0]), is_even):
        np.testing.assert_array_equal(np.asarray(x[rows]), COUNTS[rows])
    images = x.reshape(-1, 3, 2)
    assert np.asarray(images[2:5], dtype=float).dtype == float
    np.testing.assert_array_equal(images[2:5], COUNTS[2:5].reshape(3, 3, 2))
    assert repr(x).startswith("SparseArray(shape=(41, 6), dtype=float32, stored=")
    for wrong, message in (
        (lambda: x[3], r"a slice or an array of rows, got 3; a single row is x\[i :"),
        (lambda: x.reshape(40, 6), "expected 41 rows or -1, got 40"),
        (lambda: x.reshape(-1, 5), r"expected 5 columns for rows of shape \(5,\), got"),
        (lambda: np.array(x, copy=False), "without a copy"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (scipy.sparse.csr_array(COUNTS[:, :5]), r"rows of shape \(6,\), got \(5,\) in"),
        (scipy.sparse.csr_array((0, WIDTH)), "at least one row, got none"),
        (
            scipy.sparse.csr_array(COUNTS * 1j),
            "expected real numbers, got dtype complex",
        ),
        (
            scipy.sparse.coo_array(COUNTS[0]),
            r"of shape \(n, columns\), got shape \(6,\)",
        ),
        (
            torch.from_numpy(COUNTS).to_sparse(1),
            r"without dense dimensions, got 1; pass x\.to_dense\(\)",
        ),
    ],
)
def test_what_is_refused(x, message):
    with pytest.raises(ValueError, match=f"^x: .*{message}"):
        as_rows(x, (WIDTH,))


# Models


def model(**fields):
    torch.manual_seed(0)
    return VAE(
        data_shape=(WIDTH,),
        latent_dim=2,
        hidden_dims=(8,),
        likelihood="poisson",
        **fields,
    )


def fitted(x, **options):
    vae = model()
    how = {"epochs": 3, "batch_size": 8, "validation": 0.2, "device": "cpu"}
    return vae, fit(vae, x, **{**how, **options})


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compile": "step"},
        {"weights": np.linspace(0.5, 2, ROWS)},
        {"validation": COUNTS[:9]},
        {"validation": None},
    ],
    ids=str,
)
def test_a_fit_is_that_of_the_dense_rows_to_the_last_digit(options):
    sparse = scipy.sparse.csc_matrix(COUNTS)
    vae, run = fitted(sparse, **options)
    if isinstance(options.get("validation"), np.ndarray):
        options = {"validation": scipy.sparse.coo_array(options["validation"])}
    other, dense_run = fitted(COUNTS, **options)
    timeless = [
        [
            {name: row[name] for name in row if "second" not in name}
            for row in one.history
        ]
        for one in (run, dense_run)
    ]
    assert timeless[0] == timeless[1]
    for name, value in vae.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_answers_are_those_of_the_dense_rows():
    vae, _ = fitted(COUNTS)
    x, few = scipy.sparse.csr_array(COUNTS), {"num_particles": 20}
    np.testing.assert_array_equal(encode(vae, x).loc, encode(vae, COUNTS).loc)
    np.testing.assert_array_equal(reconstruct(vae, x), reconstruct(vae, COUNTS))
    np.testing.assert_array_equal(
        evidence(vae, x, **few).log_marginal, evidence(vae, COUNTS, **few).log_marginal
    )
    found = anomaly(vae, x[:3], reference=x, num_samples=9, **few)
    expected = anomaly(vae, COUNTS[:3], reference=COUNTS, num_samples=9, **few)
    np.testing.assert_array_equal(found.p_value, expected.p_value)
    np.testing.assert_array_equal(found.shares, expected.shares)


ASKED = {
    "rate": lambda vae, x: rate(vae, x),
    "class_probabilities": lambda vae, x: list(class_probabilities(vae, x)),
    "annealed": lambda vae, x: annealed(vae, x[:3], temperatures=5).log_marginal,
    "inference_gaps": lambda vae, x: (
        inference_gaps(vae, x[:3], steps=8, num_particles=8).amortization_gap
    ),
    "to_arviz": lambda vae, x: to_arviz(vae, x[:3], num_samples=5)["posterior"]["z"],
    "compare": lambda vae, x: (
        compare({"a": vae, "b": model()}, x, num_particles=8).mean
    ),
    "baseline_of": lambda vae, x: baseline_of(vae, x),
}


@pytest.mark.parametrize("name", ASKED)
def test_every_question_takes_sparse_rows(name):
    ask, vae = ASKED[name], model()
    fit(vae, COUNTS, epochs=1, batch_size=8, device="cpu")
    expected = np.asarray(ask(vae, COUNTS))
    np.testing.assert_array_equal(ask(vae, scipy.sparse.csr_matrix(COUNTS)), expected)


def test_a_value_outside_the_support_is_named_by_its_place():
    dense = COUNTS.copy()
    dense[17, 2] = -1
    with pytest.raises(ValueError, match=r"^x: .*got -1 in row 17, column 2"):
        fitted(scipy.sparse.csr_array(dense))
    dense[17, 2] = np.nan
    with pytest.raises(
        ValueError, match=r"^x: expected finite numbers, got nan in row 17"
    ):
        fitted(scipy.sparse.csr_array(dense))


def test_counts_that_float32_does_not_hold_are_refused():
    counts = np.zeros((ROWS, WIDTH), np.int64)
    counts[:, 1] = 2**31 + np.arange(ROWS)
    for x in (scipy.sparse.csr_array(counts), torch.from_numpy(counts).to_sparse_coo()):
        with pytest.raises(
            ValueError, match=r"^x: column 1 has values around 2147483668"
        ):
            fitted(x)
    fitted(scipy.sparse.csr_array(COUNTS.astype(np.int64)))


def test_loaders_that_give_sparse_batches():
    tensors = [torch.from_numpy(COUNTS[:9]), torch.from_numpy(COUNTS[9:])]
    matrices = [scipy.sparse.csr_array(COUNTS[:9]), scipy.sparse.coo_matrix(COUNTS[9:])]
    for parts in (tensors, matrices, [tensors[0].to_sparse(), tensors[1]]):
        loader = DataLoader(Parts(parts), batch_size=None)
        rows = torch.cat(list(as_rows(loader, (WIDTH,)).batches(0)))
        np.testing.assert_array_equal(rows, COUNTS)


class Parts(Dataset):
    """Batches as they are."""

    def __init__(self, parts):
        self.parts = parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index]


def test_figures_take_sparse_rows():
    x = scipy.sparse.csr_array(COUNTS)
    assert len(marginals(x, COUNTS).axes) == len(marginals(COUNTS, COUNTS).axes)
    drawn = image_grid(scipy.sparse.csr_array(COUNTS), image_shape=(2, 3))
    np.testing.assert_array_equal(
        drawn.axes[0].images[0].get_array(),
        image_grid(COUNTS, image_shape=(2, 3)).axes[0].images[0].get_array(),
    )


# Datasets of HDF5


def test_a_dataset_of_hdf5_is_read_batch_by_batch(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = COUNTS
    asked = []
    read = h5py.Dataset.__getitem__

    def watched(self, rows):
        part = read(self, rows)
        asked.append(part.shape)
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    with h5py.File(tmp_path / "x.h5") as file:
        assert isinstance(as_rows(file["x"], (WIDTH,)), ArrayRows)
        assert not asked
        assert same(file["x"])
        fitted(file["x"])
    assert asked


def test_a_dataset_in_chunks_is_read_once_unless_it_is_large(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=COUNTS, chunks=(4, 2), compression="gzip")
    with h5py.File(tmp_path / "x.h5") as file:
        assert isinstance(as_rows(file["x"], (WIDTH,)).array, torch.Tensor)
        assert same(file["x"])
        monkeypatch.setattr(arrays, "IN_MEMORY", COUNTS.nbytes - 1)
        assert as_rows(file["x"], (WIDTH,)).array == file["x"]
        assert same(file["x"])
