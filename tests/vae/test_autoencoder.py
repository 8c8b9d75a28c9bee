"""The autoencoder: a point as guide, a flat prior, and squared error up to a known constant."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

import pyro_vae as pv
from pyro_vae import ELBO, VAE

ROWS = 6
FEATURES = 7
SIGMA = 0.3

every_objective = pytest.mark.parametrize(
    "objective",
    [ELBO(), ELBO(kl="analytic"), ELBO(kl="monte_carlo"), ELBO(num_particles=3)],
)


def autoencoder(**options: Any) -> VAE:
    options = {
        "likelihood": {"kind": "normal", "scale": SIGMA},
        "hidden_dims": (8,),
        "latent_dim": 2,
    } | options
    return VAE(data_shape=(FEATURES,), prior="flat", guide="delta", **options).double()


def rows(n: int = ROWS) -> Tensor:
    return torch.randn(
        n, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def with_statistics(vae: VAE) -> VAE:
    """The same model with the statistics that `fit` takes, a mean and a spread for each feature."""
    mean = torch.linspace(-1, 2, FEATURES).double()
    std = torch.linspace(0.5, 3, FEATURES).double()
    for part in (vae.posterior.standardize, vae.likelihood.family):
        part.mean.copy_(mean)
        part.std.copy_(std)
    return vae


def plain(vae: VAE) -> nn.Sequential:
    """Encoder and decoder with the same weights, as anyone would write an autoencoder."""
    return nn.Sequential(
        *vae.posterior.encoder, vae.posterior.family.head, *vae.likelihood.decoder
    )


def squared_errors(vae: VAE, x: Tensor) -> Tensor:
    return (x - plain(vae)(x)).square().sum(1)


# The loss is the squared error


@every_objective
def test_the_loss_is_the_squared_error_and_a_constant(objective: ELBO) -> None:
    """Per row SSE / (2 σ²) + (D / 2) log(2 π σ²)."""
    vae = autoencoder()
    x = rows()
    terms = objective(vae.model, vae.guide, x)
    constant = FEATURES / 2 * math.log(2 * math.pi * SIGMA**2)
    expected = squared_errors(vae, x) / (2 * SIGMA**2) + constant
    torch.testing.assert_close(-terms.elbo, expected, rtol=1e-12, atol=0)
    assert torch.equal(terms.distortion, -terms.elbo)


@every_objective
def test_the_gradient_is_that_of_the_squared_error(objective: ELBO) -> None:
    vae = autoencoder()
    x = rows()
    parameters = list(vae.parameters())
    loss = -objective(vae.model, vae.guide, x).elbo.mean()
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(
        squared_errors(vae, x).mean() / (2 * SIGMA**2), parameters
    )
    assert len(parameters) == 8
    for found, expected in zip(ours, theirs, strict=True):
        assert expected.norm() > 0
        assert (found - expected).norm() < 1e-6 * expected.norm()


def test_after_standardising_it_is_still_the_error_in_the_units_of_the_data() -> None:
    vae = with_statistics(autoencoder())
    x = rows()
    mean = vae.likelihood.family.mean
    std = vae.likelihood.family.std
    errors = (x - mean - std * plain(vae)((x - mean) / std)).square().sum(1)
    expected = errors / (2 * SIGMA**2) + FEATURES / 2 * math.log(2 * math.pi * SIGMA**2)
    torch.testing.assert_close(
        ELBO()(vae.model, vae.guide, x).distortion, expected, rtol=1e-12, atol=0
    )


@every_objective
def test_the_rate_is_exactly_zero(objective: ELBO) -> None:
    vae = autoencoder()
    assert torch.equal(
        objective(vae.model, vae.guide, rows()).rate, torch.zeros(ROWS).double()
    )


def test_the_loss_has_no_noise() -> None:
    vae = autoencoder()
    x = rows()
    losses = [ELBO(num_particles=k)(vae.model, vae.guide, x).elbo for k in (1, 1, 5)]
    assert torch.equal(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2], rtol=1e-14, atol=0)


# Denoising


def seen_by_encoder(vae: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the encoder's network gets, and the distortion."""
    seen: list[Tensor] = []
    hook = vae.posterior.encoder.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    distortion = ELBO()(vae.model, vae.guide, x).distortion
    hook.remove()
    return seen[0], distortion


def distortion_of(vae: VAE, x: Tensor, encoder_input: Tensor) -> Tensor:
    """The loss of the clean rows x when the encoder sees `encoder_input`."""
    family = vae.likelihood.family
    errors = (x - family.mean - family.std * plain(vae)(encoder_input)).square().sum(1)
    return errors / (2 * SIGMA**2) + FEATURES / 2 * math.log(2 * math.pi * SIGMA**2)


def test_noise_corrupts_the_encoders_input_and_not_the_target() -> None:
    vae = with_statistics(autoencoder(denoise=0.5)).train()
    x = rows(4000)
    torch.manual_seed(0)
    seen, distortion = seen_by_encoder(vae, x)
    torch.testing.assert_close(
        distortion, distortion_of(vae, x, seen), rtol=1e-12, atol=0
    )
    noise = seen - (x - vae.posterior.standardize.mean) / vae.posterior.standardize.std
    assert noise.mean(0).abs().max() < 5 * 0.5 / 4000**0.5
    assert (noise.std(0) - 0.5).abs().max() < 5 * 0.5 / 8000**0.5
    assert torch.corrcoef(noise.T).triu(1).abs().max() < 5 / 4000**0.5


@pytest.mark.parametrize(
    ("denoise", "training"), [(0.5, False), (0.0, True), (0.0, False)]
)
def test_without_noise_the_encoder_sees_the_rows(
    denoise: float, training: bool
) -> None:
    vae = with_statistics(autoencoder(denoise=denoise)).train(training)
    x = rows()
    seen, distortion = seen_by_encoder(vae, x)
    assert torch.equal(
        seen, (x - vae.posterior.standardize.mean) / vae.posterior.standardize.std
    )
    torch.testing.assert_close(
        distortion, distortion_of(vae, x, seen), rtol=1e-12, atol=0
    )


# A linear autoencoder is principal component analysis


def test_a_linear_autoencoder_reaches_the_error_of_pca() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, 3)) * (3.0, 2.0, 1.5)
    x = (
        5
        + factors @ rng.normal(size=(3, FEATURES))
        + 0.5 * rng.normal(size=(200, FEATURES))
    )
    best = PCA(3).fit(x)
    exact = np.square(x - best.inverse_transform(best.transform(x))).mean()
    vae = autoencoder(latent_dim=3, hidden_dims=())
    assert sum(isinstance(module, nn.Linear) for module in vae.modules()) == 2
    run = pv.fit(
        vae, x, validation=None, epochs=200, batch_size=50, lr=0.1, progress=False
    )
    found = np.square(x - pv.reconstruct(vae, x)).mean()
    assert exact * (1 - 1e-9) < found < 1.01 * exact
    assert run.history[-1]["rate"] == 0
    constant = FEATURES / 2 * math.log(2 * math.pi * SIGMA**2)
    assert ELBO()(
        vae.model, vae.guide, torch.as_tensor(x)
    ).distortion.mean().item() == pytest.approx(
        FEATURES * found / (2 * SIGMA**2) + constant, rel=1e-9
    )


# What an autoencoder can't answer


def test_it_has_a_code_for_each_row_and_no_spread() -> None:
    vae = autoencoder()
    x = rows()
    codes = pv.encode(vae, x)
    assert codes.loc.shape == (ROWS, 2)
    assert (codes.scale == 0).all()


def test_sample_refuses_the_flat_prior_and_says_why() -> None:
    with pytest.raises(
        ValueError,
        match=r"prior 'flat' has no density, so nothing can be drawn .* 'standard_normal'",
    ):
        pv.sample(autoencoder(), 3)


def test_evidence_refuses_an_autoencoder_and_says_why() -> None:
    with pytest.raises(
        ValueError,
        match=r"is an autoencoder: .* no density over z, so log p\(x\) does not exist",
    ):
        pv.evidence(autoencoder(), rows(), num_particles=3)


def test_a_point_as_guide_has_no_evidence_with_a_proper_prior_either() -> None:
    vae = VAE(data_shape=(FEATURES,), latent_dim=2, guide="delta", hidden_dims=(8,))
    assert pv.sample(vae, 3).x.shape == (3, FEATURES)
    with pytest.raises(ValueError, match=r"guide 'delta'.* no density over z"):
        pv.evidence(vae, rows(), num_particles=3)


@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
def test_a_flat_prior_takes_only_a_point(guide: str) -> None:
    with pytest.raises(
        ValueError, match=r"prior 'flat' has no density, .* expected guide 'delta'"
    ):
        VAE(data_shape=(FEATURES,), prior="flat", guide=guide)
