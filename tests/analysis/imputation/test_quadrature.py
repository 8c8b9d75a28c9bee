"""Imputed cells of each family with one latent dimension, by quadrature over z."""

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.imputation.conditional import categories_of

NAN = float("nan")
POINTS = torch.linspace(-9, 9, 6001, dtype=torch.float64).unsqueeze(-1)
KINDS = {
    "normal": 0,
    "poisson": 1,
    "bernoulli": 2,
    "categorical": 3,
    "ordinal": 4,
    "gamma": 5,
}
GROUPS = [
    {"columns": 0, "kind": "normal"},
    {"columns": 1, "kind": "poisson"},
    {"columns": 2, "kind": "bernoulli"},
    {"columns": 3, "kind": "categorical", "num_classes": 3},
    {"columns": 4, "kind": "ordinal", "num_classes": 4},
    {"columns": 5, "kind": "gamma"},
]


@pytest.fixture(scope="module")
def mixed():
    """A model of columns of all kinds, and rows of it with each cell missing half of the time."""
    torch.manual_seed(5)
    vae = pv.VAE(
        data_shape=(6,),
        latent_dim=1,
        likelihood={"kind": "mixed", "columns": GROUPS},
        decoder=torch.nn.Linear(1, 8),
        missing="at_random",
        hidden_dims=(8,),
    ).double()
    with torch.no_grad():
        vae.likelihood.decoder.weight.mul_(1.5)
    whole = pv.sample(vae, 60, seed=1, as_array=True).x
    holes = np.random.default_rng(0).random(whole.shape) < 0.5
    return vae, np.where(holes, NAN, whole)


def posterior(vae, rows):
    """p(z | x_o) at the points, (points, n), and p(x | z) at each."""
    x = torch.as_tensor(rows)
    with torch.no_grad():
        p = vae.likelihood(POINTS.unsqueeze(1))
        log_p = vae.prior().log_prob(POINTS).unsqueeze(1) + p.log_prob(x)
    return log_p.softmax(0).numpy(), p


@pytest.fixture(scope="module")
def found(mixed):
    vae, rows = mixed
    return pv.impute(vae, rows, num_particles=4000, num_imputations=400)


def test_the_columns_of_categories_are_known(mixed):
    assert categories_of(mixed[0]) == {2: 2, 3: 3, 4: 4}


@pytest.mark.parametrize("kind", ["normal", "poisson", "gamma"])
def test_moments_of_numbers(mixed, found, kind):
    vae, rows = mixed
    weights, p = posterior(vae, rows)
    column = KINDS[kind]
    own = found.cells.column == column
    at = found.cells.row[own]
    with torch.no_grad():
        mean = p.mean.numpy()[:, 0, column, None]
        square = p.variance.numpy()[:, 0, column, None] + mean**2
    exact = (weights * mean).sum(0)
    sd = np.sqrt((weights * square).sum(0) - exact**2)
    of_mean = np.abs(found.cells.mean[own] - exact[at]) / found.cells.mean_se[own]
    of_sd = np.abs(found.cells.sd[own] - sd[at]) / found.cells.sd_se[own]
    assert own.sum() > 20
    assert (of_mean < 3.5).all()
    assert (of_sd < 3.5).mean() > 0.95
    assert np.isnan(found.cells.probabilities[own]).all()


@pytest.mark.parametrize("kind", ["bernoulli", "categorical", "ordinal"])
def test_probabilities_of_categories(mixed, found, kind):
    vae, rows = mixed
    weights, p = posterior(vae, rows)
    column = KINDS[kind]
    own = found.cells.column == column
    at = found.cells.row[own]
    count = categories_of(vae)[column]
    exact = []
    for category in range(count):
        row = torch.full((6,), NAN, dtype=torch.float64)
        row[column] = category
        with torch.no_grad():
            each = p.log_prob(row).exp().numpy()
        exact.append((weights * each).sum(0))
    exact = np.stack(exact, 1)[at]
    assert exact.sum(1) == pytest.approx(1)
    assert found.cells.probabilities[own, :count] == pytest.approx(exact, abs=0.02)
    assert (
        found.cells.mode[own] == found.cells.probabilities[own, :count].argmax(1)
    ).all()
    for name in ("mean", "sd", "quantiles"):
        assert np.isnan(getattr(found.cells, name)[own]).all()
    shares = [
        (found.cells.draws[:, own] == category).mean(0) for category in range(count)
    ]
    assert np.stack(shares, 1) == pytest.approx(exact, abs=0.12)
    assert np.stack(shares, 1).mean(0) == pytest.approx(exact.mean(0), abs=0.02)


@pytest.mark.parametrize("kind", ["normal", "poisson", "gamma"])
def test_draws_have_the_exact_mean_and_variance_between_tables(mixed, found, kind):
    """The variance between completed tables is that of the cells: they are draws, not means."""
    own = found.cells.column == KINDS[kind]
    between = found.cells.draws[:, own].var(0, ddof=1)
    assert between.mean() == pytest.approx(
        np.square(found.cells.sd[own]).mean(), rel=0.1
    )
    shift = (
        found.cells.draws[:, own].mean(0) - found.cells.mean[own]
    ) / found.cells.sd[own]
    assert np.abs(shift).max() < 4.5 / np.sqrt(400)


COVARIANCES = ["full", "low_rank"]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_correlated_noise_is_conditioned_on(covariance):
    """With a decoder of zeros p(x) is one normal, whose conditionals the cells must have."""
    torch.manual_seed(1)
    vae = pv.VAE(
        data_shape=(4,),
        latent_dim=1,
        likelihood={"kind": "normal", "covariance": covariance},
        decoder=torch.nn.Linear(1, 4),
        missing="at_random",
        hidden_dims=(8,),
    ).double()
    with torch.no_grad():
        for parameter in vae.likelihood.decoder.parameters():
            parameter.zero_()
        for parameter in vae.likelihood.family.correlation.parameters():
            parameter.copy_(torch.randn_like(parameter))
    rows = np.array([[0.5, NAN, -1.0, NAN], [NAN, NAN, NAN, 2.0]])
    with torch.no_grad():
        row = vae.likelihood(torch.zeros(1, dtype=torch.float64)).base_dist
        covariances = row.covariance_matrix.numpy()
        center = row.mean.numpy()
    found = pv.impute(vae, rows, num_particles=2000, num_imputations=2000)
    for index, cells in enumerate(rows):
        gone = np.isnan(cells)
        gain = covariances[np.ix_(gone, ~gone)] @ np.linalg.inv(
            covariances[np.ix_(~gone, ~gone)]
        )
        mean = center[gone] + gain @ (cells[~gone] - center[~gone])
        left = covariances[np.ix_(gone, gone)] - gain @ covariances[np.ix_(~gone, gone)]
        own = found.cells.row == index
        assert found.cells.mean[own] == pytest.approx(mean, abs=1e-9)
        assert found.cells.sd[own] == pytest.approx(np.sqrt(np.diag(left)), abs=1e-9)
        drawn = found.cells.draws[:, own]
        scale = np.sqrt(np.diag(left))
        error = (np.cov(drawn.T) - left) / np.outer(scale, scale)
        assert np.abs(error).max() < 0.12
        assert drawn.mean(0) == pytest.approx(mean, abs=4 * scale.max() / np.sqrt(2000))
