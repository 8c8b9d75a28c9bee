"""A history that is read from its file, and the epoch whose weights were kept."""

import math
from pathlib import Path

import pytest

from pyro_vae.experiment.history import best_epoch, read_history


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ([3.0, 1.0, 2.0], 2),
        ([3.0, 1.0, 1.0], 2),
        ([math.nan, 5.0, math.nan], 2),
        ([math.nan, math.nan], 2),
        ([], 0),
    ],
)
def test_the_best_epoch_has_the_lowest_loss_of_validation(
    losses: list[float], epoch: int
) -> None:
    history = [
        {"epoch": float(i), "val_loss": loss} for i, loss in enumerate(losses, 1)
    ]
    assert best_epoch(history) == epoch


def test_without_validation_it_is_the_last() -> None:
    assert best_epoch([{"epoch": 1.0, "loss": 1.0}, {"epoch": 2.0, "loss": 3.0}]) == 2


@pytest.mark.parametrize("text", ["epoch,elbo\n1,low\n", "epoch\n1,2\n"])
def test_what_is_no_history_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "history.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises((TypeError, ValueError)):
        read_history(file)
