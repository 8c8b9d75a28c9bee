"""Simple densities of the page: numbers that are known from outside."""

import numpy as np
import pytest
from scipy import stats

import pyro_vae as pv
from pyro_vae.page import baselines
from tests.page.reading import subject

RANDOM = np.random.default_rng(0)
MIXING = np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.3], [0.0, 0.0, 2.0]])
REAL = RANDOM.normal(size=(3000, 3)) @ MIXING + [5.0, 0.0, -50.0]
LEVELS = RANDOM.choice(3, p=[0.5, 0.3, 0.2], size=(3000, 1))


@pytest.fixture(scope="module")
def mixed() -> tuple[pv.VAE, np.ndarray]:
    """A model of three real columns and one of levels, started from all rows."""
    kinds = [
        {"columns": [0, 1, 2], "kind": "normal"},
        {"columns": [3], "kind": "categorical", "num_classes": 3},
    ]
    vae = pv.VAE(
        data_shape=(4,),
        latent_dim=1,
        likelihood={"kind": "mixed", "columns": kinds},
        hidden_dims=(4,),
    )
    rows = np.hstack([REAL, LEVELS]).astype(np.float32)
    pv.fit(vae, rows, epochs=1, progress=False)
    return vae, rows


def test_the_normal_is_that_of_scipy(mixed: tuple[pv.VAE, np.ndarray]) -> None:
    vae, rows = mixed
    independent, normal, mixture = baselines.baselines(subject(vae, rows[:50], rows))
    shares = np.bincount(LEVELS[:, 0]) / len(LEVELS)
    levels = np.log(shares[LEVELS[:50, 0]])
    one_by_one = stats.norm(REAL.mean(0), REAL.std(0)).logpdf(REAL[:50]).sum(1)
    np.testing.assert_allclose(independent.log_p, one_by_one + levels, atol=0.05)
    together = stats.multivariate_normal(REAL.mean(0), np.cov(REAL.T))
    np.testing.assert_allclose(
        normal.log_p, together.logpdf(REAL[:50]) + levels, atol=0.05
    )
    assert mixture.log_p.mean() == pytest.approx(normal.log_p.mean(), abs=0.2)
    assert normal.name == "one normal and independent columns"


def test_a_mixture_finds_what_is_one() -> None:
    means = np.array([[-4.0, 0.0], [4.0, 1.0]])
    which = RANDOM.integers(0, 2, size=4000)
    rows = means[which] + RANDOM.normal(size=(4000, 2))
    found = baselines._mixture(rows[:3000], rows[3000:])
    parts = [stats.multivariate_normal(mean).logpdf(rows[3000:]) for mean in means]
    exact = np.logaddexp(*parts) - np.log(2)
    assert found.mean() == pytest.approx(exact.mean(), abs=0.02)
    scaled = baselines._mixture(100 * rows[:3000], 100 * rows[3000:])
    np.testing.assert_allclose(scaled, found - 2 * np.log(100), atol=0.01)


@pytest.mark.parametrize(
    ("likelihood", "reason"),
    [
        ("poisson", "no column has a density"),
        ("normal", "which are not known here"),
    ],
)
def test_why_there_is_no_normal(likelihood: str, reason: str) -> None:
    vae = pv.VAE(data_shape=(3,), latent_dim=1, likelihood=likelihood, hidden_dims=(4,))
    rows = RANDOM.poisson(3, size=(40, 3)).astype(np.float32)
    pv.fit(vae, rows, epochs=1, progress=False)
    independent, normal = baselines.baselines(subject(vae, rows, None))
    assert not independent.reason
    assert reason in normal.reason


def test_a_model_that_was_never_started_has_no_baseline() -> None:
    vae = pv.VAE(data_shape=(3,), latent_dim=1)
    (found,) = baselines.baselines(subject(vae, np.zeros((4, 3), np.float32), None))
    assert found.reason
