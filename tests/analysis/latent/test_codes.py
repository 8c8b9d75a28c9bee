"""Codes, reconstructions, samples and rates against the linear-Gaussian model."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import kstest, norm
from torch import nn
from torch.distributions import (
    AffineTransform,
    Distribution,
    MultivariateNormal,
    kl_divergence,
)

from pyro_vae import VAE
from pyro_vae.analysis import Codes, encode, rate, reconstruct, sample
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2)
SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
ROWS = 600  # more than two batches


def autoencoder(prior: str = "flat") -> VAE:
    return VAE(
        data_shape=(5,), latent_dim=2, prior=prior, guide="delta", hidden_dims=(4,)
    ).double()


class Peaked(nn.Module):
    """A Laplace distribution as a transformed one, whose KL to the prior torch doesn't know."""

    def forward(self, x: torch.Tensor) -> Distribution:
        unit = dist.Laplace(torch.zeros_like(x[:, :2]), 1.0)
        return dist.TransformedDistribution(
            unit, AffineTransform(x[:, :2], 0.5)
        ).to_event(1)


# encode


def test_codes_are_the_exact_posterior() -> None:
    x = TRUTH.sample(ROWS)
    codes = encode(TRUTH.vae(), x)
    q = TRUTH.posterior(x)
    assert codes.loc.shape == codes.scale.shape == (ROWS, 2)
    np.testing.assert_allclose(codes.loc, q.mean, rtol=1e-12)
    np.testing.assert_allclose(codes.scale, q.stddev, rtol=1e-12)


def test_codes_of_an_autoencoder_are_points() -> None:
    vae = autoencoder()
    x = TRUTH.sample(7)
    codes = encode(vae, x)
    np.testing.assert_array_equal(codes.scale, 0)
    with torch.no_grad():
        np.testing.assert_array_equal(codes.loc, vae.posterior(x).sample())


def test_active_units_are_those_that_vary_over_the_rows() -> None:
    """z₂ reaches no data: its exact posterior is the prior for every row."""
    weight = torch.cat([TRUTH.weight[:, :1], torch.zeros(5, 1, dtype=torch.float64)], 1)
    dead = LinearGaussian(weight, TRUTH.bias, TRUTH.sigma)
    assert encode(TRUTH.vae(), TRUTH.sample(ROWS)).active_units() == 2
    assert encode(dead.vae(), dead.sample(ROWS)).active_units() == 1
    np.testing.assert_allclose(
        rate(dead.vae(), dead.sample(5)), kl(dead, dead.sample(5)), rtol=1e-12
    )


def test_active_units_count_variances_above_the_threshold() -> None:
    loc = np.array([[-1.0, 0.0, 0.0], [1.0, 0.2, 0.1]])  # variances 1, 0.01, 0.0025
    codes = Codes(loc, np.ones_like(loc))
    assert [codes.active_units(threshold) for threshold in (0.001, 0.005, 0.5, 2)] == [
        3,
        2,
        1,
        0,
    ]


# reconstruct


def test_reconstruction_is_the_mean_at_the_mean() -> None:
    x = TRUTH.sample(ROWS)
    expected = TRUTH.posterior(x).mean @ TRUTH.weight.T + TRUTH.bias
    np.testing.assert_allclose(
        reconstruct(TRUTH.vae(), x), expected, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    "kind", ["normal", "bernoulli", {"kind": "binomial", "total_count": 4}]
)
def test_reconstructions_are_shaped_as_the_rows(kind: Any) -> None:
    vae = VAE(data_shape=(3, 4), latent_dim=2, likelihood=kind)
    found = reconstruct(vae, torch.ones(300, 3, 4))
    assert found.shape == (300, 3, 4)
    assert found.dtype == np.float32
    ceiling = {"bernoulli": 1, "binomial": 4}.get(vae.spec.likelihood.kind, np.inf)
    assert found.max() < ceiling


# sample


def test_samples_are_from_the_marginal() -> None:
    n = 20_000
    drawn = sample(TRUTH.vae(), n)
    p = TRUTH.marginal()
    assert drawn.z.shape == (n, 2)
    assert drawn.x.shape == drawn.mean.shape == (n, 5)
    variance = p.variance.numpy()
    covariance = p.covariance_matrix.numpy()
    assert (
        np.abs(drawn.x.mean(0) - p.mean.numpy()) < SIGMAS * np.sqrt(variance / n)
    ).all()
    error = np.sqrt(
        (covariance**2 + np.outer(variance, variance)) / n
    )  # of a covariance of normals
    assert (np.abs(np.cov(drawn.x.T) - covariance) < SIGMAS * error).all()
    whitened = np.linalg.solve(p.scale_tril.numpy(), (drawn.x - p.mean.numpy()).T)
    for feature in whitened:
        assert kstest(feature, norm.cdf).pvalue > 1e-4
    np.testing.assert_allclose(
        drawn.mean, drawn.z @ TRUTH.weight.numpy().T + TRUTH.bias.numpy(), rtol=1e-10
    )
    noise = drawn.x - drawn.mean
    assert abs(noise.std() / TRUTH.sigma - 1) < SIGMAS / math.sqrt(2 * noise.size)


def test_samples_follow_their_seed_and_leave_the_generator_alone() -> None:
    vae = TRUTH.vae()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = sample(vae, 4)
    again = sample(vae, 4)
    other = sample(vae, 4, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("z", "x", "mean"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(other, name)).all()


@pytest.mark.parametrize("kind", ["bernoulli", {"kind": "binomial", "total_count": 4}])
def test_samples_of_counts_are_counts(kind: Any) -> None:
    drawn = sample(VAE(data_shape=(2, 3), latent_dim=2, likelihood=kind), 200)
    top = 1 if kind == "bernoulli" else 4
    assert set(np.unique(drawn.x)) == set(range(top + 1))
    assert ((drawn.mean > 0) & (drawn.mean < top)).all()


# rate


def kl(truth: LinearGaussian, x: torch.Tensor) -> torch.Tensor:
    """KL(p(z | x) ‖ N(0, I))."""
    q = truth.posterior(x)
    p = MultivariateNormal(
        torch.zeros_like(q.mean[0]), torch.eye(q.event_shape[0], dtype=torch.float64)
    )
    return kl_divergence(MultivariateNormal(q.mean, q.covariance_matrix), p)


def test_rate_is_the_closed_form() -> None:
    x = TRUTH.sample(ROWS)
    np.testing.assert_allclose(rate(TRUTH.vae(), x), kl(TRUTH, x), rtol=1e-10)


def test_rate_without_a_closed_form_is_a_mean_over_draws() -> None:
    """KL(Laplace(μ, b) ‖ N(0, 1)) = ½ log 2π - log 2b - 1 + (μ² + 2b²) / 2 in each dimension."""
    vae = TRUTH.vae(guide=Peaked())
    x = TRUTH.sample(ROWS)
    b = 0.5
    draws = 400
    loc = x[:, :2].numpy()
    expected = (
        0.5 * math.log(2 * math.pi) - math.log(2 * b) - 1 + (loc**2 + 2 * b**2) / 2
    ).sum(1)
    errors = rate(vae, x, num_particles=draws) - expected
    # log q - log p = -|u| + (μ + b u)² / 2 + const with u a unit Laplace: variance 1 + 2 (b μ)² + 5
    # b⁴ - 4 b²
    deviation = np.sqrt((1 + 2 * (b * loc) ** 2 + 5 * b**4 - 4 * b**2).sum(1) / draws)
    assert (np.abs(errors) < SIGMAS * deviation).all()
    assert 0.9 < (errors / deviation).std() < 1.1
    np.testing.assert_array_equal(rate(vae, x[:9]), rate(vae, x[:9], seed=0))
    assert (rate(vae, x[:9]) != rate(vae, x[:9], seed=1)).all()


# A guide that is one distribution for all rows


@pytest.mark.parametrize(
    "ask",
    [
        lambda vae, x: encode(vae, x).loc,
        lambda vae, x: encode(vae, x).scale,
        reconstruct,
    ],
)
def test_a_plain_distribution_is_a_guide(ask: Callable[..., np.ndarray]) -> None:
    q = dist.Normal(torch.tensor([1.0, -2.0], dtype=torch.float64), 0.5).to_event(1)
    found = ask(TRUTH.vae(guide=q), TRUTH.sample(300))
    assert len(found) == 300
    np.testing.assert_array_equal(found, np.broadcast_to(found[0], found.shape))


def test_the_rate_of_a_plain_distribution_is_one_number_for_all_rows() -> None:
    q = dist.Normal(torch.tensor([1.0, -2.0], dtype=torch.float64), 0.5).to_event(1)
    expected = 0.5 * (2 * 0.25 + 5 - 2 - 2 * math.log(0.25))
    np.testing.assert_allclose(
        rate(TRUTH.vae(guide=q), TRUTH.sample(300)), np.full(300, expected), rtol=1e-12
    )


# What is left alone, and what is refused


@pytest.mark.parametrize(
    "ask", [encode, reconstruct, rate, lambda vae, x: sample(vae, 3)]
)
def test_the_model_is_left_as_it_was(ask: Callable[..., Any]) -> None:
    encoder = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8))
    vae = VAE(data_shape=(5,), latent_dim=2, encoder=encoder).double().train()
    state = {name: value.clone() for name, value in vae.state_dict().items()}
    before = torch.get_rng_state()
    ask(vae, TRUTH.sample(6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in vae.modules())
    assert all(
        torch.equal(value, state[name]) for name, value in vae.state_dict().items()
    )


@pytest.mark.parametrize("ask", [encode, reconstruct, rate])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(0, 5), "x: expected at least one row"),
        (torch.zeros(3, 4), r"x: expected rows of shape \(5,\), got \(4,\)"),
        (
            torch.full((3, 5), torch.nan),
            "x: expected finite numbers, got nan in row 0, column 0",
        ),
    ],
)
def test_bad_rows_are_refused(
    ask: Callable[..., Any], x: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ask(TRUTH.vae(), x)


def test_bad_numbers_of_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="num_rows: expected at least 1, got 0"):
        sample(TRUTH.vae(), 0)
    with pytest.raises(ValueError, match="num_particles: expected at least 1, got 0"):
        rate(TRUTH.vae(), TRUTH.sample(2), num_particles=0)


def test_an_autoencoder_generates_nothing() -> None:
    with pytest.raises(
        ValueError, match=r"prior 'flat' has no density.*Take prior 'standard_normal'"
    ):
        sample(autoencoder(), 3)
    assert sample(autoencoder("standard_normal"), 3).x.shape == (3, 5)


def test_codes_and_samples_are_short_in_print_and_long_in_a_table() -> None:
    import pandas as pd

    vae = VAE(data_shape=(2, 3), latent_dim=2)
    names = pd.Index(["a", "b"])
    flat = VAE(data_shape=(6,), latent_dim=2)
    codes = encode(flat, pd.DataFrame(np.ones((2, 6)), index=names))
    table = codes.to_dataframe()
    assert table.index.tolist() == ["a", "b"]
    assert list(table) == ["loc[0]", "loc[1]", "scale[0]", "scale[1]"]
    np.testing.assert_array_equal(table["scale[1]"], codes.scale[:, 1])
    assert repr(codes) == "Codes(rows=2, latent_dim=2, active units 0)"
    assert "0 of 2" in str(codes)
    drawn = sample(vae, 5)
    table = drawn.to_dataframe()
    np.testing.assert_array_equal(table["x[1,2]"], drawn.x[:, 1, 2])
    assert len(table.columns) == 2 + 6 + 6
    assert "numbers in a row  6" in str(drawn)
