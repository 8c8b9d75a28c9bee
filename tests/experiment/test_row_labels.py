"""Held-out rows keep their numbers and their names."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae.data import Splits
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.run_folder import write_evidence
from pyro_vae.experiment.splits import hold_out

X = np.arange(40.0).reshape(20, 2)
NAMES = np.array([f"row {2 * number}" for number in range(20)])
OPTIONS = DataOptions(source="rows.npy", test=6)


def test_the_numbers_lead_to_the_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    for train in (X, np.load(tmp_path / "x.npy", mmap_mode="r")):
        found = hold_out(Splits("x", train, None, None, None), OPTIONS, NAMES)
        assert len(found.test) == 6
        np.testing.assert_array_equal(X[found.row_numbers], found.test)
        assert found.row_labels is not None
        assert found.row_labels.tolist() == [
            f"row {int(first)}" for first in found.test[:, 0]
        ]


def test_test_rows_of_the_source_are_counted_from_0() -> None:
    found = hold_out(Splits("x", X, None, X[:3], None), OPTIONS, ["a", "b", "c"])
    assert found.row_numbers.tolist() == [0, 1, 2]
    assert found.row_labels is not None
    assert found.row_labels.tolist() == ["a", "b", "c"]
    assert hold_out(Splits("x", X, None, None, None), OPTIONS).row_labels is None


@pytest.mark.parametrize("labels", [["Ford, T", 'the "best"', "Ö\n2"], [7, 8, 9]])
def test_a_file_has_them(labels: list[object], tmp_path: Path) -> None:
    vae = pv.VAE(data_shape=(2,), latent_dim=1, hidden_dims=(4,))
    evidence = pv.evidence(vae, X[:3], num_particles=10)
    file = tmp_path / "evidence.csv"
    fitted = np.array([True, False, False])
    write_evidence(
        file, evidence, np.array([5, 3, 8]), labels=np.asarray(labels), fitted=fitted
    )
    table = pd.read_csv(file)
    assert [*table][:4] == ["row", "label", "fitted", "log_marginal"]
    assert table["row"].tolist() == [5, 3, 8]
    assert table["label"].tolist() == labels
    assert table["fitted"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(table["log_marginal"], evidence.log_marginal)
