"""The use of the latent space against the linear-Gaussian model, with its normal q(z)."""

import math
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from pyro_vae import VAE
from pyro_vae.analysis import encode, rate
from pyro_vae.analysis.latent.results import LatentUse
from pyro_vae.analysis.latent.use import latent_use
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2, sigma=1.0)
ROWS = 1000
SIGMAS = 4


class Diagonal(nn.Module):
    """The marginals of the exact posterior, which is their product for orthogonal columns."""

    def __init__(self, truth: LinearGaussian, kind: Any = dist.Normal) -> None:
        super().__init__()
        self.truth = truth
        self.kind = kind

    def forward(self, x: Tensor) -> Distribution:
        q = self.truth.posterior(x.double())
        return self.kind(q.mean, q.stddev).to_event(1)


def aggregate(truth: LinearGaussian, widen: float = 1.0) -> MultivariateNormal:
    """q(z) for x ~ p(x): Cov E[z | x] = I - S, Cov[z | x] = widen² S, S = Cov p(z | x)."""
    s = truth.posterior(
        torch.zeros(1, len(truth.bias), dtype=torch.float64)
    ).covariance_matrix[0]
    return MultivariateNormal(
        torch.zeros(len(s)).double(), torch.eye(len(s)) + (widen**2 - 1) * s
    )


def information(truth: LinearGaussian, widen: float = 1.0) -> float:
    """½ log det Cov[z] - ½ log det Cov[z | x]."""
    s = truth.posterior(
        torch.zeros(1, len(truth.bias), dtype=torch.float64)
    ).covariance_matrix[0]
    return float(
        0.5
        * (
            torch.logdet(aggregate(truth, widen).covariance_matrix)
            - torch.logdet(widen**2 * s)
        )
    )


def orthogonal(*lengths: float) -> LinearGaussian:
    """Columns at right angles, so that the dimensions of z are independent given x.

    A column of length zero is a dead unit.
    """
    weight = torch.linalg.qr(TRUTH.weight.new_ones(5, 5).tril()).Q[
        :, : len(lengths)
    ] * torch.tensor(lengths)
    return LinearGaussian(weight.double(), TRUTH.bias, 1.0)


@pytest.fixture(scope="module", params=[1.0, 1.5])
def widen(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture(scope="module")
def used(widen: float) -> LatentUse:
    return latent_use(
        TRUTH.vae(widen=widen), TRUTH.sample(ROWS, seed=3), num_particles=2
    )


def test_information_is_the_channels_capacity(used: LatentUse, widen: float) -> None:
    """½ log det (I + WᵀW / σ²) for the exact posterior, held between the bounds."""
    exact = information(TRUTH, widen)
    if widen == 1:
        capacity = 0.5 * torch.logdet(
            torch.eye(2) + TRUTH.weight.T @ TRUTH.weight / TRUTH.sigma**2
        )
        assert abs(exact - capacity) < 1e-12
    assert used.information - SIGMAS * used.information_se < exact
    assert exact < used.information_upper + SIGMAS * used.information_upper_se
    assert used.information < used.information_upper
    assert used.information_upper - used.information < 0.06
    assert used.information_se < 0.07


def test_the_aggregate_posterior_is_the_normal_that_it_should_be(
    used: LatentUse, widen: float
) -> None:
    q = aggregate(TRUTH, widen)
    low, high = used.marginal_kl
    expected = float(
        kl_divergence(
            q, MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
        )
    )
    assert low - SIGMAS * used.rate_se < expected < high + SIGMAS * used.rate_se
    assert (np.abs(used.mean) < SIGMAS * used.mean_se).all()
    assert (np.abs(used.scale - q.stddev.numpy()) < SIGMAS * used.scale_se).all()
    assert (used.scale_se < 0.06).all()
    np.testing.assert_array_equal(used.prior_mean, 0)
    np.testing.assert_array_equal(used.prior_scale, 1)


@pytest.mark.slow
def test_standard_errors_are_those_of_other_rows() -> None:
    vae = TRUTH.vae(widen=1.5)
    found = [latent_use(vae, TRUTH.sample(100, seed=seed)) for seed in range(25)]
    for name in ("rate", "mean", "scale", "information"):
        values = np.array([getattr(one, name) for one in found])
        stated = np.array([getattr(one, f"{name}_se") for one in found])
        assert (values.std(0, ddof=1) / stated.mean(0) > 0.6).all()
        assert (values.std(0, ddof=1) / stated.mean(0) < 1.4).all()
    bounds = np.array([one.marginal_kl for one in found])
    stated = np.array([one.marginal_kl_se for one in found])
    assert (bounds.std(0, ddof=1) / stated.mean(0) > 0.6).all()
    assert (bounds.std(0, ddof=1) / stated.mean(0) < 1.4).all()


def test_bracket_closes_with_rows_and_the_lower_bound_has_a_ceiling() -> None:
    """I = ½ log (1 + 1e6) = 6.9 nats; 20 rows that are all told apart say log 20 = 3.0 of them."""
    sharp = orthogonal(1000.0)
    few = latent_use(sharp.vae(), sharp.sample(20, seed=1))
    assert few.information == pytest.approx(math.log(20), abs=0.05)
    assert few.information_upper > information(sharp)
    assert "pass more rows" in few.summary()
    gaps = [
        found.information_upper - found.information
        for found in (
            latent_use(TRUTH.vae(), TRUTH.sample(rows, seed=5))
            for rows in (20, 100, 500)
        )
    ]
    assert gaps[0] > 2 * gaps[1]
    assert gaps[1] > 2 * gaps[2] > 0


def test_rate_is_the_mean_of_the_rates(used: LatentUse, widen: float) -> None:
    rates = rate(TRUTH.vae(widen=widen), TRUTH.sample(ROWS, seed=3))
    assert used.rate == pytest.approx(rates.mean(), rel=1e-12)
    assert used.rate_se == pytest.approx(rates.std(ddof=1) / math.sqrt(ROWS), rel=1e-12)


def test_rates_of_independent_dimensions_sum_to_the_rate() -> None:
    truth = orthogonal(3.0, 1.0, 0.0)
    found = latent_use(truth.vae(guide=Diagonal(truth)), truth.sample(500))
    assert found.rate_per_dim.sum() == pytest.approx(found.rate, rel=1e-12)
    q = truth.posterior(truth.sample(500))
    each = -q.stddev.log() + (q.variance + q.mean.square() - 1) / 2
    np.testing.assert_allclose(found.rate_per_dim, each.mean(0), rtol=1e-10)


def test_a_full_covariance_adds_its_total_correlation() -> None:
    """KL(q ‖ p) - Σ KL(q_d ‖ p_d) = Σ log σ_d - ½ log det S."""
    x = TRUTH.sample(200)
    found = latent_use(TRUTH.vae(), x)
    s = TRUTH.posterior(x[:1]).covariance_matrix[0]
    correlation = 0.5 * (s.diagonal().log().sum() - torch.logdet(s))
    assert correlation > 0.01
    assert found.rate - found.rate_per_dim.sum() == pytest.approx(
        float(correlation), rel=1e-9
    )


def test_rates_without_a_closed_form_come_from_draws() -> None:
    """KL(Laplace(μ, b) ‖ N(0, 1)) = ½ log 2π - log 2b - 1 + (μ² + 2b²) / 2."""
    x = TRUTH.sample(500)
    q = TRUTH.posterior(TRUTH.sample(500))
    loc = q.mean.numpy()
    b = q.stddev.numpy()
    found = latent_use(TRUTH.vae(guide=Diagonal(TRUTH, dist.Laplace)), x)
    expected = 0.5 * math.log(2 * math.pi) - np.log(2 * b) - 1 + (loc**2 + 2 * b**2) / 2
    np.testing.assert_allclose(found.rate_per_dim, expected.mean(0), atol=0.05)


def test_a_prior_without_marginals_has_no_rates_of_dimensions() -> None:
    vae = VAE(
        data_shape=(5,), latent_dim=2, prior={"kind": "mixture", "components": 3}
    ).double()
    found = latent_use(vae, TRUTH.sample(50))
    assert np.isnan(found.rate_per_dim).all()
    draws = vae.prior().sample((50_000,))
    np.testing.assert_allclose(found.prior_mean, draws.mean(0), atol=0.06)
    np.testing.assert_allclose(found.prior_scale, draws.std(0), atol=0.06)
    assert "carry" not in found.warning
    for guide in ("flow", "low_rank", "full_rank", "semi_amortized"):
        found = latent_use(
            VAE(data_shape=(5,), latent_dim=2, guide=guide).double(), TRUTH.sample(9)
        )
        assert np.isnan(found.rate_per_dim).all() == (guide == "flow")
        assert -0.1 < found.information <= math.log(9)


# Dead units


def test_dead_units_are_counted_with_their_rate() -> None:
    truth = orthogonal(3.0, 0.0, 1.0, 0.0)
    vae = truth.vae(guide=Diagonal(truth))
    x = truth.sample(400)
    found = latent_use(vae, x)
    np.testing.assert_array_equal(found.active, [True, False, True, False])
    assert found.active_units == encode(vae, x).active_units() == 2
    np.testing.assert_allclose(
        found.variance[[0, 2]], [0.9, 0.5], atol=0.15
    )  # 1 - 1 / (1 + length²)
    assert "partial posterior collapse: 2 of 4 units are dead" in found.warning
    assert f"carry 0.000 of {found.rate:.3f} nats" in found.summary()
    assert latent_use(vae, x, threshold=0.7).active_units == 1


def test_a_used_latent_space_has_no_warning(used: LatentUse) -> None:
    assert used.warning == ""
    assert used.active_units == 2
    assert "collapse" not in used.summary()
    assert f"{ROWS} rows" in used.summary()


def test_a_collapsed_posterior_says_nothing() -> None:
    """q = N(0.5, 1) for every row: no information, and a rate of 0.125 nats per dimension."""
    guide = dist.Normal(torch.full((2,), 0.5), 1.0).to_event(1)
    found = latent_use(TRUTH.vae(guide=guide), TRUTH.sample(60))
    np.testing.assert_allclose(
        [found.information, found.information_upper], 0, atol=1e-12
    )
    np.testing.assert_allclose(found.rate_per_dim, 0.125, rtol=1e-6)
    np.testing.assert_allclose(found.marginal_kl, 0.25, rtol=1e-6)
    np.testing.assert_allclose(found.mean, 0.5)
    assert "posterior collapse: 2 of 2 units are dead" in found.warning
    assert "carry 0.250 of 0.250 nats" in found.warning
    shift = next(
        total for total in found.totals() if total.name == "largest shift of q(z)"
    )
    assert shift.value == pytest.approx(0.5)
    assert "posterior collapse" in str(found)


# The answer in words and tables


def test_the_summary_has_numbers_errors_and_how_to_read_them(used: LatentUse) -> None:
    lines = str(used).splitlines()
    assert lines[0].endswith(f"2 of 2   ({ROWS} rows)")
    assert f"{used.rate:.3f} ± {used.rate_se:.3f} nats per row" in lines[1]
    assert f"{used.information:.3f} ± {used.information_se:.3f} nats" in lines[2]
    assert "lie between their bounds" in lines[-1]
    assert repr(used).startswith(f"LatentUse(rows={ROWS}, active units 2 of 2, rate ")


def test_there_is_a_line_for_each_dimension(used: LatentUse) -> None:
    table = used.to_dataframe()
    assert table.index.name == "dimension"
    assert table.index.tolist() == [0, 1]
    np.testing.assert_array_equal(table["rate"], used.rate_per_dim)
    assert table["active"].all()
    shown = used._repr_html_()
    assert shown.count("<table>") == 2
    assert f"<td>{used.mean[1]:.3f} ± {used.mean_se[1]:.3f}</td>" in shown


# What is asked of every question


def test_the_model_and_the_generator_are_left_alone() -> None:
    vae = VAE(data_shape=(5,), latent_dim=2, guide="flow")
    x = TRUTH.sample(9)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    state = {name: value.clone() for name, value in vae.state_dict().items()}
    first = latent_use(vae, x)
    again = latent_use(vae, x)
    other = latent_use(vae, x, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(
        torch.equal(value, state[name]) for name, value in vae.state_dict().items()
    )
    assert vae.training
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert first.information == again.information != other.information


def test_no_batch_changes_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = TRUTH.vae(widen=1.5)
    x = TRUTH.sample(300)
    whole = latent_use(vae, x)
    monkeypatch.setattr("pyro_vae.analysis.latent.use.PAIRS", 5000)
    split = latent_use(vae, x)
    assert whole.information == pytest.approx(split.information, rel=1e-12)
    assert whole.information_upper == pytest.approx(split.information_upper, rel=1e-12)


def test_bad_input_is_refused() -> None:
    vae = TRUTH.vae()
    x = TRUTH.sample(3)
    with pytest.raises(ValueError, match="num_particles: expected at least 1, got 0"):
        latent_use(vae, x, num_particles=0)
    with pytest.raises(ValueError, match="x: expected at least 2 rows, got 1"):
        latent_use(vae, x[:1])
    with pytest.raises(ValueError, match=r"x: expected rows of shape \(5,\)"):
        latent_use(vae, x[:, :4])
    autoencoder = VAE(data_shape=(5,), latent_dim=2, prior="flat", guide="delta")
    with pytest.raises(ValueError, match="is an autoencoder: a point has no rate"):
        latent_use(autoencoder, x.float())
