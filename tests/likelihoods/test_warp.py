"""Columns that are normal after a map: against SciPy's Johnson S_U, quadrature and torch's maps."""

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import johnsonsu, multivariate_normal

import pyro_vae as pv
from pyro_vae.data import statistics
from pyro_vae.data.normal_em import fit_normal
from pyro_vae.likelihoods.asinh_normal import Asinh, AsinhNormal, AsinhRow
from pyro_vae.likelihoods.correlated_normal import CorrelatedNormal
from pyro_vae.likelihoods.correlation import CholeskyCorrelation
from pyro_vae.likelihoods.learned_warp import (
    CLEAR_GAIN,
    WIDEST,
    LearnedWarp,
    best_of_grid,
)
from tests.likelihoods.families import build

CENTRE = torch.tensor([0.5, -3.0, 10.0], dtype=torch.float64)
WIDTH = torch.tensor([0.3, 2.0, 50.0], dtype=torch.float64)
LOC = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)
SCALE = torch.tensor([0.4, 1.5, 7.0], dtype=torch.float64)
FACTOR = torch.tensor(
    [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.48, 0.6, 0.64]], dtype=torch.float64
)
X = torch.tensor([[0.4, -9.0, 3.0], [5.0, 2.0, -40.0]], dtype=torch.float64)


@pytest.fixture
def warp() -> Asinh:
    return Asinh(CENTRE, WIDTH)


@pytest.fixture
def row(warp) -> AsinhRow:
    return AsinhRow(CorrelatedNormal(LOC, SCALE, CholeskyCorrelation(FACTOR)), warp)


def of_scipy(column: int):
    """(t(x) - loc) / scale is standard normal: S_U with gamma = (c - loc) / scale."""
    centre, width = float(CENTRE[column]), float(WIDTH[column])
    loc, scale = float(LOC[column]), float(SCALE[column])
    return johnsonsu((centre - loc) / scale, width / scale, centre, width)


def test_density_and_moments_are_scipys(warp) -> None:
    p = AsinhNormal(LOC, SCALE, warp)
    for column in range(3):
        known = of_scipy(column)
        np.testing.assert_allclose(
            p.log_prob(X)[:, column], known.logpdf(X[:, column].numpy()), rtol=1e-12
        )
        assert float(p.mean[column]) == pytest.approx(known.mean(), rel=1e-10)
        assert float(p.variance[column]) == pytest.approx(known.var(), rel=1e-10)


def test_draws_have_the_distribution(warp) -> None:
    from scipy.stats import kstest

    torch.manual_seed(0)
    drawn = AsinhNormal(LOC, SCALE, warp).sample((20_000,))
    for column in range(3):
        assert kstest(drawn[:, column], of_scipy(column).cdf).pvalue > 1e-3


def test_the_map_and_its_inverse(warp) -> None:
    torch.testing.assert_close(warp.inverse(warp(X)), X)
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(warp(x).sum(), x)
    torch.testing.assert_close(warp.log_slope(X), slope.log())
    # a wide one is the identity, a narrow one whose centre is below all numbers a logarithm
    wide = Asinh(CENTRE, 1e6 * WIDTH)
    torch.testing.assert_close(wide(X), X, rtol=1e-9, atol=1e-9)
    narrow = Asinh(torch.tensor(0.0), torch.tensor(1e-4))
    gap = narrow(torch.tensor(8.0)) - narrow(torch.tensor(2.0))
    assert float(gap / 1e-4) == pytest.approx(np.log(4), rel=1e-4)


def test_correlated_rows_by_the_change_of_variables(row, warp) -> None:
    covariance = row.base.covariance_matrix.numpy()
    mapped = multivariate_normal(LOC.numpy(), covariance).logpdf(warp(X).numpy())
    expected = torch.as_tensor(mapped) + warp.log_slope(X).sum(-1)
    torch.testing.assert_close(row.log_prob(X), expected)


@pytest.mark.parametrize("mask", list(itertools.product([True, False], repeat=3)))
def test_observed_cells_by_marginals(row, warp, mask) -> None:
    observed = torch.tensor(mask)
    found = row.pyro_vae_observed_log_prob(X, observed.expand(2, 3))
    if not any(mask):
        assert found.tolist() == [0.0, 0.0]
        return
    kept = np.flatnonzero(mask)
    covariance = row.base.covariance_matrix.numpy()[np.ix_(kept, kept)]
    normal = multivariate_normal(LOC.numpy()[kept], covariance)
    expected = normal.logpdf(warp(X).numpy()[:, kept])
    expected = expected + warp.log_slope(X)[:, kept].sum(1).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_missing_cell_given_the_others_by_quadrature(row) -> None:
    observed = torch.tensor([True, False, True])
    given = row.pyro_vae_given_observed(X[0], observed)
    torch.testing.assert_close(given.mean[observed], X[0][observed])

    def joint(value: float, power: int) -> float:
        whole = X[0].clone()
        whole[1] = value
        return float(row.log_prob(whole).exp()) * value**power

    total, first, second = (
        quad(joint, -400, 400, args=(n,), limit=500, points=[-3])[0] for n in range(3)
    )
    mean = first / total
    assert float(given.mean[1]) == pytest.approx(mean, rel=1e-6)
    assert float(given.variance[1]) == pytest.approx(second / total - mean**2, rel=1e-5)
    torch.manual_seed(0)
    drawn = given.sample((40_000,))
    torch.testing.assert_close(drawn[:, 0], X[0, 0].expand(40_000))
    error = float(given.variance[1]) ** 0.5 / 200
    assert float(drawn[:, 1].mean()) == pytest.approx(mean, abs=4 * error)


def test_far_cells_have_finite_gradients_and_draws(warp) -> None:
    x = torch.tensor([-1e30, 0.5, 1e30], dtype=torch.float32, requires_grad=True)
    single = Asinh(CENTRE.float(), WIDTH.float())
    p = AsinhNormal(LOC.float(), 1e4 * SCALE.float(), single)
    (slope,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    assert slope.isfinite().all()
    assert p.sample((1000,)).isfinite().all()


def test_the_start_finds_a_logarithm() -> None:
    torch.manual_seed(0)
    y = torch.randn(1000, 2, dtype=torch.float64)
    x = torch.stack([y[:, 0].exp(), y[:, 1]], 1)
    centre, width = best_of_grid((x - x.mean(0)) / x.std(0, correction=0))
    mapped = Asinh(centre, width)((x - x.mean(0)) / x.std(0, correction=0))
    correlation = torch.corrcoef(torch.stack([mapped[:, 0], y[:, 0]]))[0, 1]
    assert float(correlation) > 0.995
    # of the normal column the map changes nothing
    assert float(width[1]) == WIDEST


def test_noise_bends_few_columns() -> None:
    """3 nats are the likelihood ratio test of two parameters at 5 %."""
    from scipy.stats import chi2

    assert pytest.approx(chi2.ppf(0.95, 2) / 2, abs=0.01) == CLEAR_GAIN
    torch.manual_seed(1)
    x = torch.randn(200, 100, dtype=torch.float64)
    _, width = best_of_grid((x - x.mean(0)) / x.std(0, correction=0))
    assert 0.01 <= float((width < WIDEST).double().mean()) <= 0.12


@pytest.mark.parametrize(("share", "is_mapped"), [(0.2, True), (0.3, False)])
def test_a_column_of_equal_cells_has_no_map(share, is_mapped) -> None:
    """Of a skewed column with many zeros a map has a mean that far cells dominate."""
    torch.manual_seed(0)
    x = torch.randn(1000, 1, dtype=torch.float64).exp()
    x[: int(1000 * share)] = 0.0
    _, width = best_of_grid((x - x.mean(0)) / x.std(0, correction=0))
    assert bool(width < WIDEST) is is_mapped


@pytest.mark.parametrize("covariance", ["diagonal", "full", "low_rank"])
def test_a_start_from_data_with_holes(covariance) -> None:
    rng = np.random.default_rng(0)
    normal = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 500)
    x = np.exp(normal)
    holes = np.where(rng.random(x.shape) < 0.3, np.nan, x)
    options = {"kind": "normal", "covariance": covariance, "warp": "asinh"}
    family = build({**options, "start": "data"}, (2,)).double()
    family.pyro_vae_start(statistics([torch.tensor(holes)]))
    p = family(torch.zeros(1, *family.param_shape, dtype=torch.float64))
    assert p.log_prob(torch.tensor(x)).isfinite().all()
    if covariance != "diagonal":
        found = p.base.correlation.matrix()[0, 1].detach()
        of_logs = fit_normal(np.log(holes)).covariance
        known = of_logs[0, 1] / np.sqrt(of_logs[0, 0] * of_logs[1, 1])
        assert float(found) == pytest.approx(known, abs=0.1)
    assert "x ~ t⁻¹(" in family.extra_repr()
    # the independent columns don't move with training
    before = family.independent().log_prob(torch.tensor(x))
    family.warp.centre.data.add_(1.0)
    torch.testing.assert_close(family.independent().log_prob(torch.tensor(x)), before)


def test_parameters_at_zero_are_the_start() -> None:
    warp = LearnedWarp((2,)).double()
    torch.manual_seed(0)
    x = torch.randn(200, 2, dtype=torch.float64).exp()
    warp.start(statistics([x]))
    first, now = warp.first(), warp()
    torch.testing.assert_close(now.centre, first.centre)
    torch.testing.assert_close(now.width, first.width, rtol=1e-6, atol=0)
    warp.width.data.fill_(-1e3)
    torch.testing.assert_close(warp().width, 0.05 * warp.unit, rtol=1e-6, atol=0)


def test_skewed_rows_are_worth_the_map() -> None:
    """Rows whose logarithms are normal: the model reaches their own entropy, and not without t."""
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.7], [0.7, 1.0]])
    y = rng.multivariate_normal([0, 0], covariance, 1200)
    x = np.exp(y).astype(np.float32)
    known = multivariate_normal([0, 0], covariance).logpdf(y[800:]) - y[800:].sum(1)
    scores = {}
    for warp in ("none", "asinh"):
        likelihood = {"kind": "normal", "covariance": "full", "start": "data"}
        vae = pv.VAE(
            data_shape=(2,),
            latent_dim=1,
            hidden_dims=(8,),
            likelihood={**likelihood, "warp": warp},
        )
        pv.fit(vae, x[:800], epochs=20, progress=False)
        found = pv.evidence(vae, x[800:], num_particles=100, progress=False)
        scores[warp] = float((found.log_marginal - known).mean())
    assert scores["asinh"] > -0.1
    assert scores["none"] < scores["asinh"] - 0.5


@pytest.mark.parametrize(("sigma", "least"), [(1.0, 0.95), (2.0, 0.95), (3.0, 0.9)])
def test_the_start_holds_for_long_tails(sigma, least) -> None:
    """One far cell doesn't widen the map of the others: the mapped column is nearly normal."""
    from scipy.stats import shapiro

    torch.manual_seed(0)
    x = (sigma * torch.randn(500, 1, dtype=torch.float64)).exp()
    warp = LearnedWarp((1,)).double()
    warp.start(statistics([x]))
    mapped = warp()(x).detach().numpy()
    assert shapiro(mapped).statistic > least
    assert shapiro(x.numpy()).statistic < 0.8
