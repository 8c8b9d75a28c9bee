"""What every question about rows refuses, and that each message starts with its place."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pyro_vae import VAE
from pyro_vae.analysis import (
    annealed,
    anomaly,
    audit,
    checkup,
    compare,
    evidence,
    inference_gaps,
    latent_use,
    to_arviz,
)

QUESTIONS: dict[str, Callable[[VAE, Any], Any]] = {
    "anomaly": lambda vae, x: anomaly(vae, x, num_particles=10, num_samples=2),
    "annealed": lambda vae, x: annealed(vae, x, num_chains=2, temperatures=2),
    "audit": lambda vae, x: audit(vae, x, num_chains=2, num_samples=4, warmup_steps=1),
    "checkup": lambda vae, x: checkup(vae, x, num_particles=10),
    "compare": lambda vae, x: compare({"one": vae, "other": vae}, x, num_particles=10),
    "evidence": lambda vae, x: evidence(vae, x, num_particles=10),
    "inference_gaps": lambda vae, x: inference_gaps(vae, x, steps=4, num_particles=2),
    "latent_use": latent_use,
    "to_arviz": lambda vae, x: to_arviz(vae, x, num_samples=2),
}
BITS = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
ROWS = {
    "no rows": (BITS[:0], "at least one row"),
    "other columns": (BITS[:, :2], "rows of shape"),
    "outside the support": (
        BITS + torch.tensor([[0.0], [0.5]]),
        "values in the support .* in row 1",
    ),
    "not a number": (BITS * torch.nan, "finite numbers"),
}


@pytest.mark.parametrize("problem", ROWS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_rows_that_do_not_fit(question: str, problem: str) -> None:
    vae = VAE(data_shape=(3,), latent_dim=1, likelihood="bernoulli", hidden_dims=(2,))
    x, message = ROWS[problem]
    with pytest.raises(ValueError, match=f"^x: expected {message}"):
        QUESTIONS[question](vae, x)


@pytest.mark.parametrize(
    "question", sorted(set(QUESTIONS) - {"checkup", "to_arviz"})
)  # which answer what there is to answer
def test_an_autoencoder_has_no_evidence(question: str) -> None:
    vae = VAE(
        data_shape=(3,),
        latent_dim=1,
        likelihood="bernoulli",
        guide="delta",
        prior="flat",
        hidden_dims=(2,),
    )
    with pytest.raises(ValueError, match="is an autoencoder"):
        QUESTIONS[question](vae, BITS)
