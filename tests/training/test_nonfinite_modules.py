"""What a step that is left out leaves alone, and a sleep phase with such steps."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from pyro_vae import VAE, fit
from pyro_vae.objectives import ELBO


@pytest.mark.filterwarnings("ignore:x. 3e.38 in row 17")
def test_statistics_of_a_step_that_is_left_out_are_those_before() -> None:
    """BatchNorm has seen the batch before its loss is known."""
    torch.manual_seed(0)
    x = torch.randn(300, 4)
    x[17] = 3e38
    first = nn.Linear(4, 8)
    first.weight.data *= 10
    encoder = nn.Sequential(first, nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 8))
    vae = VAE(data_shape=(4,), latent_dim=2, encoder=encoder, standardize="none")
    run = fit(
        vae,
        x,
        epochs=2,
        validation=torch.randn(30, 4),
        batch_size=32,
        on_nonfinite="skip",
        progress=False,
        compile="off",
    )
    assert run.skipped == 2
    assert all(bool(buffer.isfinite().all()) for buffer in run.vae.buffers())


class Sometimes:
    """The ELBO, and not a number in every third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, model: Any, guide: Any, x: Any, beta: float = 1.0) -> Any:
        self.calls += 1
        terms = ELBO()(model, guide, x, beta)
        factor = math.nan if self.calls % 3 == 0 else 1.0
        return terms._replace(loss=factor * terms.loss)


@pytest.mark.filterwarnings("ignore:fit. the objective")
def test_steps_of_the_sleep_phase_are_counted_too() -> None:
    run = fit(
        VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,)),
        torch.randn(120, 4, generator=torch.Generator().manual_seed(0)),
        objective=Sometimes(),
        epochs=3,
        batch_size=20,
        validation=None,
        sleep_share=1.0,
        on_nonfinite="skip",
        progress=False,
        compile="off",
    )
    assert len(run.slept) == 3
    assert all(math.isfinite(row["loss"]) for row in run.slept)
    assert run.skipped > 3 * 2  # those of the training alone


def test_a_run_that_was_ended_by_patience_sleeps_once(tmp_path: Any) -> None:
    """Its checkpoint is returned as it is."""
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    runs = [
        fit(
            VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,), seed=0),
            x,
            epochs=60,
            patience=2,
            sleep_share=0.2,
            lr=0.05,
            checkpoint=tmp_path / "run",
            progress=False,
            compile="off",
        )
        for _ in range(2)
    ]
    assert len(runs[0].history) < 60
    assert runs[1].elbo == runs[0].elbo
    assert runs[1].slept == runs[0].slept
