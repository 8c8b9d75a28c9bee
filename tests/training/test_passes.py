"""How often rows are read before the first step: once, but for what an answer about all needs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_vae import VAE, fit
from pyro_vae.data import ArrayRows, Placement
from pyro_vae.networks import Standardize
from pyro_vae.training import loop, preparation
from pyro_vae.training.validation_split import select_part

ROWS = 1000


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each read of an array took, before the first step; no step follows."""
    counts: list[int] = []
    read = ArrayRows._cut

    def counted(rows: ArrayRows, index: Any) -> torch.Tensor:
        batch = read(rows, index)
        counts.append(len(batch))
        return batch

    monkeypatch.setattr(ArrayRows, "_cut", counted)
    monkeypatch.setattr(loop, "_train", lambda *arguments: None)
    monkeypatch.setattr(preparation, "pass_size", lambda vae: 50)
    return counts


def table(dtype: Any) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, size=(ROWS, 6)).astype(dtype)


def fitted(x: Any, folder: Path, **options: Any) -> VAE:
    vae = VAE(data_shape=(6,), latent_dim=2, hidden_dims=(8,), likelihood="normal")
    fit(vae, x, progress=False, checkpoint=folder / "checkpoint", **options)
    return vae


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_memory_map_is_read_once(dtype: Any, cut: list[int], tmp_path: Path) -> None:
    """Its rows are checked, digested, cast and averaged as they pass.

    Then come 50 of them for the medians, 256 for the trial of the objective, and the validation
    rows for the score to beat.
    """
    np.save(tmp_path / "x.npy", table(dtype))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    fitted(x, tmp_path, validation=100)
    assert sum(cut) == ROWS + 50 + 256 + 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_statistics_are_those_of_the_training_rows(
    dtype: Any, cut: list[int], tmp_path: Path
) -> None:
    """Validation rows are in the pass, and not in the mean and spread that the encoder takes."""
    x = table(dtype)
    x[::3] += 10  # so that it matters which rows are in them
    vae = fitted(x, tmp_path, validation=100)
    train, _ = select_part(ArrayRows(x, Placement()), 100, seed=0)
    rows = torch.cat(list(train.batches(ROWS))).double()
    (standardize,) = (one for one in vae.modules() if isinstance(one, Standardize))
    torch.testing.assert_close(standardize.mean, rows.mean(0).float())
    torch.testing.assert_close(standardize.std, rows.std(0, correction=0).float())
