"""AnnData objects are rows: X, dense, sparse or in its file, with the names of cells and genes."""

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from pyro_vae import VAE, anomaly, encode, evidence, fit
from pyro_vae.data import as_rows

COUNTS = np.random.default_rng(0).poisson(1.0, size=(30, 4)).astype(np.float32)
CELLS = tuple(f"cell {i}" for i in range(30))
GENES = ("Actb", "Gapdh", "Cd3e", "Ms4a1")


class Annotated:
    """What an AnnData object has, as far as rows go: also the indexing that NumPy would walk."""

    def __init__(self, matrix, **layers):
        self._matrix = matrix
        self.layers = layers

    @property
    def X(self):
        return self._matrix

    @property
    def obs_names(self):
        return pd.Index(CELLS)

    @property
    def var_names(self):
        return pd.Index(GENES)

    def __len__(self):
        return len(CELLS)

    def __getitem__(self, index):
        raise AssertionError("its elements are AnnData objects, without end")


class Backed:
    """A sparse matrix in its file, as AnnData has one."""

    def to_memory(self):
        return scipy.sparse.csr_matrix(COUNTS)


def model():
    torch.manual_seed(0)
    return VAE(data_shape=(4,), latent_dim=1, hidden_dims=(8,), likelihood="poisson")


@pytest.mark.parametrize(
    "matrix",
    [COUNTS, scipy.sparse.csr_matrix(COUNTS), scipy.sparse.csc_array(COUNTS), Backed()],
    ids=["dense", "csr", "csc", "backed"],
)
def test_x_is_taken_and_names_are_kept(matrix):
    adata, vae = Annotated(matrix), model()
    run = fit(vae, adata, epochs=2, batch_size=10, device="cpu")
    other = model()
    expected = fit(other, COUNTS, epochs=2, batch_size=10, device="cpu")
    assert run.history[-1]["loss"] == expected.history[-1]["loss"]
    found = evidence(vae, adata, num_particles=20)
    assert found.row_labels == encode(vae, adata).row_labels == CELLS
    assert tuple(found.to_dataframe().index) == CELLS
    np.testing.assert_array_equal(
        found.log_marginal, evidence(vae, COUNTS, num_particles=20).log_marginal
    )
    assert anomaly(vae, adata, num_particles=9, num_samples=5).column_names == GENES


def test_a_dense_x_stays_in_its_file(tmp_path):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["X"] = COUNTS
    with h5py.File(tmp_path / "x.h5ad") as file:
        rows = as_rows(Annotated(file["X"]), (4,))
        assert rows.array is not None
        np.testing.assert_array_equal(next(rows.batches(99)), COUNTS)


def test_an_object_without_x_names_its_layers():
    with pytest.raises(
        ValueError, match=r"^x: .*None \(layers: 'counts'\); pass a layer"
    ):
        as_rows(Annotated(None, counts=COUNTS), (4,))
