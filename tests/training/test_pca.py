"""A linear VAE is probabilistic PCA: training reaches its optimum, and each row's log p(x) its
closed form.

What is left of the distance to the optimum is the noise of z in the last steps: at most 0.003 nats
a row over the six tables and several seeds, so 0.01 is asked for.
"""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from benchmarks.tables import LATENT_DIMS, TABLES, compare, line, linear_gaussian, main

ALL = [(data, latent_dim) for data in TABLES for latent_dim in LATENT_DIMS]


def agrees(result):
    """The trained model is the optimum, and the estimates are those of its closed form."""
    mean_of_errors = np.sqrt(np.square(result.found.se).sum()) / len(result.x)
    best = (
        result.score + 1e-3
    )  # scikit-learn divides by n - 1 and stays that little below the maximum
    assert best - 0.01 < result.exact.mean() <= best
    assert abs(result.difference()) < 0.01
    assert (
        abs(result.found.log_marginal.mean() - result.exact.mean()) < 4 * mean_of_errors
    )
    assert result.within() >= 0.99  # 99.7 % if the errors were normal
    assert np.all(result.found.pareto_k < 0.7)


def is_pca(result):
    """The parameters too: the mean, the span of the first components, the noise of the others."""
    mean, weight, scale = linear_gaussian(result.vae)
    pca = PCA(result.latent_dim).fit(result.x)
    np.testing.assert_allclose(mean, 0, atol=0.02)
    np.testing.assert_allclose(scale**2, pca.noise_variance_, rtol=0.02)
    assert np.rad2deg(subspace_angles(weight, pca.components_.T)).max() < 5


def bounds(result):
    """A bound is below what it bounds, up to its standard error from 1000 draws of log w."""
    assert result.found.elbo.mean() < result.exact.mean()
    assert result.found.elbo.mean() > result.exact.mean() - 0.03


@pytest.fixture(scope="module")
def wine():
    return compare("wine", 2)


@pytest.mark.slow
@pytest.mark.parametrize("check", [agrees, is_pca, bounds])
def test_a_linear_vae_of_two_dimensions_is_pca(check, wine):
    check(wine)


def test_an_untrained_one_is_not():
    assert compare("wine", 2, epochs=1, lr=1e-9).difference() < -1


def test_a_line_of_the_table_holds_its_numbers(wine):
    *name, rows, columns, latent_dim, score, ours, difference, within, _ = line(
        wine
    ).split()
    assert (name, rows, columns, latent_dim) == (["wine"], "178", "13", "2")
    assert float(ours) - float(score) == pytest.approx(float(difference), abs=1.1e-4)
    assert within.endswith("%")


def test_the_command_refuses_a_table_it_does_not_have(capsys):
    with pytest.raises(SystemExit):
        main(["--data", "iris"])
    assert "invalid choice: 'iris'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("data", "latent_dim"), ALL)
def test_a_linear_vae_is_pca_on_every_table(data, latent_dim):
    result = compare(data, latent_dim)
    for check in (agrees, is_pca, bounds):
        check(result)
