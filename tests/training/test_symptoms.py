"""What ends well and is wrong all the same is said once, with its number and a remedy."""

import warnings
from typing import Any

import pandas as pd
import pyro.distributions as dist
import pytest
import torch

import pyro_vae as pv
from pyro_vae.training import fit
from tests.training.small import X, small

RUN: dict[str, Any] = {"epochs": 3, "batch_size": 10, "progress": False}
TINY = {"kind": "normal", "scale": "per_feature", "initial_scale": 5e-4}


def sentences(vae: pv.VAE, x: Any, **options: Any) -> list[str]:
    """The warnings of a fit, without that of the score to beat."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(vae, x, **(RUN | options))
    return [
        str(one.message)
        for one in caught
        if "below independent" not in str(one.message)
    ]


def test_a_fit_without_symptoms_says_nothing() -> None:
    assert not sentences(small(), X)


def test_a_loss_that_never_moves() -> None:
    (found,) = sentences(small(), X, lr=1e-12)
    assert found.startswith(
        "fit: the validation loss has moved by 0 nats in 3 epochs, from 9."
    )
    assert found.endswith(
        "raise lr (now 1e-12), and look whether the weights have "
        "gradients (requires_grad) and the networks depend on their input"
    )
    assert not sentences(small(), X, lr=1e-12, epochs=2)  # too few to tell
    assert not sentences(small(), X, lr=1e-2)


def test_a_posterior_that_is_the_prior() -> None:
    prior = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    (found,) = sentences(small(guide=prior), X)
    assert found.startswith(
        "fit: the rate KL(q ‖ p), 0 nats per row, says that z is not used (posterior collapse): "
        "raise kl_warmup_epochs (now 0), lower beta (now 1), or take free bits"
    )
    free_bits = {"objective": {"kind": "elbo", "free_bits": 0.5}}  # what it proposes
    assert not sentences(small(), X, **free_bits)


@pytest.mark.parametrize("grouped", [False, True])
def test_scales_at_their_floor_are_named(grouped: bool) -> None:
    likelihood: dict[str, Any] = TINY
    if grouped:
        others = {"columns": [0, 2], "kind": "normal"}
        tiny = {**TINY, "columns": [3, 1]}
        likelihood = {"kind": "mixed", "columns": [others, tiny]}
    (found,) = sentences(small(likelihood=likelihood), X, lr=1e-7, epochs=1)
    columns = "2 of 4 columns" if grouped else "4 of 4 columns"
    named = "1, 3" if grouped else "0, 1, 2, 3"
    assert found.startswith(
        f"fit: the scale of {columns} is at its floor, below 0.001 of their spread: {named}; "
    )


@pytest.mark.parametrize("scale", ["learned", "decoder"])
def test_one_scale_for_all_and_scales_of_a_decoder(scale: str) -> None:
    likelihood = TINY | {"scale": scale}
    (found,) = sentences(small(likelihood=likelihood), X, lr=1e-7, epochs=1)
    assert "the scale of 4 of 4 columns is at its floor" in found


def test_columns_of_a_table_have_their_names() -> None:
    frame = pd.DataFrame(X.astype(float), columns=list("abcd"))
    vae = pv.VAE.from_data(
        frame, latent_dim=2, hidden_dims=(8,), columns={"b": {"kind": "normal"}}
    )
    scale: Any = dict(vae.named_modules())["model.likelihood.family.scale"]
    scale.raw.data[1] = -20.0
    (found,) = sentences(vae, frame, lr=1e-7, epochs=1)
    assert (
        "the scale of 1 of 4 columns is at its floor, below 0.001 of their spread: 'b'"
        in found
    )


def test_a_fixed_scale_is_what_was_asked_for() -> None:
    fixed = {"kind": "normal", "scale": 1e-5}
    assert not sentences(small(likelihood=fixed), X * 1e-3, lr=1e-7, epochs=1)


def test_an_autoencoder_has_no_rate_to_speak_of() -> None:
    assert not sentences(small(guide="delta", prior="flat"), X)
