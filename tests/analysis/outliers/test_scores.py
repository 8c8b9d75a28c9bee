"""Anomaly scores: shares against closed forms, uniform p-values, and outliers that are found."""

from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.analysis.outliers.columns import (
    column_log_prob,
    column_shares,
    factorises,
)
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from tests.likelihoods.families import CASES, every_case
from tests.likelihoods.families import vae as vae_of

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2, seed=1)
X = TRUTH.sample(40, seed=2)


def expected_terms(x: Tensor) -> np.ndarray:
    """E log N(xᵢ | wᵢ z + bᵢ, σ²) over p(z | x) = N(m, C).

    -½ log 2πσ² - ((xᵢ - wᵢ m - bᵢ)² + wᵢ C wᵢᵀ) / 2σ²
    """
    posterior = TRUTH.posterior(x)
    w = TRUTH.weight
    residual = x - TRUTH.bias - posterior.mean @ w.T
    variance = torch.einsum("il,nlm,im->ni", w, posterior.covariance_matrix, w)
    noise = TRUTH.sigma**2
    terms = -0.5 * np.log(2 * np.pi * noise) - (residual.square() + variance) / (
        2 * noise
    )
    return terms.numpy()


# Shares


@pytest.mark.parametrize("widen", [1.0, 0.8, 1.3])
def test_shares_are_those_of_the_closed_form(widen: float) -> None:
    found = column_shares(TRUTH.vae(widen=widen), X, num_samples=1000)
    off = (found.value - expected_terms(X)) / found.se
    assert abs(off.mean()) < 0.25
    assert 0.8 < off.std() < 1.2
    assert np.abs(off).max() < 4.5
    assert found.se.max() < 0.1


def test_shares_minus_the_rate_are_log_p() -> None:
    found = pv.anomaly(TRUTH.vae(), X, num_samples=2000)
    np.testing.assert_allclose(
        found.log_marginal, TRUTH.marginal().log_prob(X), atol=1e-6
    )
    np.testing.assert_allclose(
        found.shares.sum(1) - found.rate, found.log_marginal, rtol=1e-12
    )
    prior = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    error = np.sqrt(np.square(found.share_se).sum(1))
    assert (
        np.abs(found.rate - kl_divergence(TRUTH.posterior(X), prior).numpy())
        < 6 * error
    ).all()


def test_columns_and_rate_explain_the_distance_to_a_usual_row() -> None:
    found = pv.anomaly(
        TRUTH.vae(), X, reference=TRUTH.sample(60, seed=3), num_samples=100
    )
    parts = dict(found.top_columns(7, count=99))
    assert all(nats < 0 for nats in parts.values())
    whole = found.excess.sum(1) + found.usual_rate - found.rate
    np.testing.assert_allclose(
        whole, found.log_marginal - found.reference.mean(), rtol=1e-9
    )


@pytest.mark.slow
def test_the_column_that_is_off_is_named() -> None:
    x = X.clone()
    x[3, 4] += 6 * TRUTH.sigma
    how: dict[str, Any] = {
        "columns": list("abcde"),
        "num_particles": 50,
        "num_samples": 200,
    }
    found = pv.anomaly(TRUTH.vae(), x, reference=TRUTH.sample(399, seed=3), **how)
    assert found.worst(1).tolist() == [3]
    assert found.top_columns(3)[0][0] == "e"
    assert found.outliers().tolist() == [3]
    assert "e (" in str(found).splitlines()[6]
    fewer = pv.anomaly(TRUTH.vae(), x, reference=TRUTH.sample(398, seed=3), **how)
    assert fewer.outliers().tolist() == []
    assert "one outlier alone among 40 rows needs 399 reference rows" in str(fewer)


DEPENDENT = ("multinomial", "normal, full", "normal, low rank", "mixed, full")
"""The cases whose columns depend on each other given z."""


@every_case
def test_terms_sum_to_the_density(name: str) -> None:
    vae = vae_of(name)
    x = CASES[name].rows
    z = torch.randn(
        7, len(x), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    p = vae.likelihood(z)
    terms = column_log_prob(p, x)
    assert (terms is None) == name.startswith(DEPENDENT) == (not factorises(vae, x))
    if terms is not None:
        assert terms.shape == (7, *x.shape)
        torch.testing.assert_close(terms.flatten(2).sum(-1), p.log_prob(x))


class Correlated(nn.Module):
    """p(x | z) with a covariance between columns."""

    def forward(self, z: Tensor) -> Distribution:
        loc = torch.cat([z, z[..., :1]], -1)
        return dist.MultivariateNormal(loc, 0.5 + torch.eye(3).to(z))


@pytest.mark.parametrize(
    ("likelihood", "rows"),
    [
        ("multinomial", torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0]])),
        (Correlated(), torch.randn(2, 3)),
    ],
)
def test_what_is_no_product_over_columns_has_no_shares(
    likelihood: Any, rows: Tensor
) -> None:
    vae = VAE(data_shape=(3,), latent_dim=2, likelihood=likelihood)
    found = pv.anomaly(vae, rows, num_particles=30)
    assert found.shares is None
    assert np.isnan(found.rate).all()
    assert "not a product over columns" in str(found)
    assert "top_columns" not in found.to_dataframe()
    with pytest.raises(ValueError, match=r"^shares: .* not a product over columns"):
        pv.anomaly(vae, rows, shares=True, num_particles=30)
    with pytest.raises(ValueError, match=r"^shares: "):
        found.top_columns(0)


def test_a_guide_without_moments_gives_shares_too() -> None:
    class Bounded(nn.Module):
        def forward(self, x: Tensor) -> Distribution:
            return dist.Uniform(torch.zeros(len(x), 2), 1.0).to_event(1)

    vae = VAE(
        data_shape=(3,),
        latent_dim=2,
        guide=Bounded(),
        prior=dist.Uniform(torch.zeros(2), 1.0).to_event(1),
    )
    assert np.isfinite(
        column_shares(vae, torch.zeros(2, 3), num_samples=20).value
    ).all()


# p-values


@pytest.mark.slow
def test_p_values_of_ordinary_rows_are_uniform() -> None:
    found = pv.anomaly(
        TRUTH.vae(),
        TRUTH.sample(400, seed=8),
        reference=TRUTH.sample(399, seed=9),
        shares=False,
    )
    for p in (found.p_value, found.typicality_p_value):
        assert p.min() >= 1 / 400
        for level in (
            0.1,
            0.5,
            0.9,
        ):  # both samples are finite: twice the variance of a share
            assert abs((p <= level).mean() - level) < 4 * np.sqrt(
                2 * level * (1 - level) / 400
            )


def test_without_a_reference_there_are_no_p_values() -> None:
    found = pv.anomaly(TRUTH.vae(), X, num_particles=50, num_samples=20)
    assert np.isnan(found.p_value).all()
    assert "pass reference=" in str(found)
    with pytest.raises(ValueError, match="pass reference="):
        found.outliers()


def test_rows_that_are_their_own_reference_are_counted() -> None:
    found = pv.anomaly(
        TRUTH.vae(), X[:5], reference=X, num_particles=50, num_samples=20
    )
    assert found.shared == 5
    assert "5 rows are reference rows too" in str(found)


# What it says


def test_the_table_has_the_order_of_the_rows_and_names_columns() -> None:
    import pandas as pd

    labels = [f"row {i}" for i in range(40)]
    frame = pd.DataFrame(X.numpy(), columns=list("abcde"), index=labels)
    found = pv.anomaly(
        TRUTH.vae(), frame, reference=X[:9], num_particles=50, num_samples=20
    )
    assert found.column_names == tuple("abcde")
    table = found.to_dataframe(top=2)
    assert list(table) == [
        *(
            "log_marginal",
            "se",
            "p_value",
            "typicality",
            "typicality_p_value",
            "trusted",
        ),
        *("rate", "top_columns"),
    ]
    assert table.index.tolist() == labels
    np.testing.assert_array_equal(table["log_marginal"], found.log_marginal)
    assert table["trusted"].tolist() == found.trusted.tolist()
    assert table.iloc[found.worst(40)]["log_marginal"].is_monotonic_increasing
    assert table["top_columns"].iloc[7] == found._named(7, 2)
    np.testing.assert_allclose(
        found.rate[7], found.shares[7].sum() - found.log_marginal[7]
    )
    assert all(text.count("(") <= 2 for text in table["top_columns"])
    assert repr(found) == "Anomaly(rows=40, reference rows=9)"


def test_a_notebook_shows_the_least_likely_rows() -> None:
    found = pv.anomaly(
        TRUTH.vae(), X, reference=X[:9], num_particles=50, num_samples=20
    )
    shown = found._repr_html_()
    assert shown.count("<tr>") == 1 + 10
    first = found.worst(1)[0]
    number = f"{found.log_marginal[first]:.2f} ± {found.se[first]:.2f}"
    assert f"<tr><td>{first}</td><td>{number}</td>" in shown
    assert "9 reference rows, mean log p(x)" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["a", "b"]}, "columns: expected 5 different names.*got 2"),
        (
            {"columns": list("aabcd")},
            "columns: expected 5 different names.*4 different",
        ),
        ({"reference": np.zeros((3, 4))}, "^reference: expected rows of shape"),
        ({"reference": np.full((3, 5), np.nan)}, "^reference: expected finite numbers"),
        ({"num_samples": 1}, "num_samples: expected at least 2, got 1"),
        ({"num_particles": 0}, "num_particles"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pv.anomaly(TRUTH.vae(), X, **options)


# Rows from elsewhere


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    x = load_digits().data.astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    fitted, reference, rest = np.split(x[order], [1000, 1150])
    ordinary = rest[:50]
    turned = np.rot90(ordinary.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64).copy()
    noise = np.random.default_rng(1).integers(0, 17, (50, 64)).astype(np.float32)
    mean = np.tile(fitted.mean(0).round(), (2, 1))
    rows = {"ordinary": ordinary, "turned": turned, "noise": noise, "mean": mean}
    likelihood = {"kind": "binomial", "total_count": 16}
    vae = VAE(data_shape=(64,), latent_dim=4, likelihood=likelihood, hidden_dims=(32,))
    pv.fit(vae, fitted, epochs=15, lr=5e-3, validation=None)
    how: dict[str, Any] = {"reference": reference, "num_particles": 50, "shares": False}
    return {name: pv.anomaly(vae, some, **how) for name, some in rows.items()}


@pytest.mark.parametrize("other", ["turned", "noise"])
@pytest.mark.slow
def test_turned_digits_and_noise_are_found(digits: dict[str, Any], other: str) -> None:
    ordinary = digits["ordinary"]
    strange = digits[other]
    score = -np.concatenate([ordinary.log_marginal, strange.log_marginal])
    assert roc_auc_score(np.repeat([0, 1], [len(ordinary), len(strange)]), score) > 0.99
    assert (strange.p_value <= 0.01).mean() > 0.95
    assert len(ordinary.outliers()) <= 5
    assert len(strange.outliers()) >= 0.95 * len(strange)


@pytest.mark.slow
def test_the_mean_digit_is_too_likely_which_only_typicality_shows(
    digits: dict[str, Any],
) -> None:
    """It is no digit at all, and log p(x) calls it more ordinary than nine digits of ten."""
    found = digits["mean"]
    assert (found.p_value >= 0.9).all()
    assert (found.typicality_p_value <= 0.05).all()
