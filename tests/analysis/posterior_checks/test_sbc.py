"""Simulation-based calibration against guides whose miscalibration is known."""

import functools
import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae import VAE
from pyro_vae.analysis.posterior_checks.sbc import _pit, calibration
from pyro_vae.analysis.posterior_checks.sbc_results import Calibration
from pyro_vae.analysis.posterior_checks.uniformity import components, holm, uniformity
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random()
CORRELATED = LinearGaussian(
    torch.tensor([[1.0, 1.0], [1.0, 0.6]]).double(), torch.zeros(2).double(), 0.5
)


class Marginals(nn.Module):
    """q(z | x) with the exact mean and variance of each dimension, but no correlations."""

    def forward(self, x: Tensor) -> Distribution:
        exact = CORRELATED.posterior(x.double())
        return dist.Normal(exact.mean, exact.stddev).to_event(1)


class Shifted(nn.Module):
    """The exact posterior, its first dimension half a standard deviation too high."""

    def forward(self, x: Tensor) -> Distribution:
        exact = TRUTH.posterior(x.double())
        shift = 0.5 * exact.stddev * torch.tensor([1.0, 0.0])
        return dist.MultivariateNormal(exact.mean + shift, exact.covariance_matrix)


class PriorAsGuide(nn.Module):
    """q(z | x) = p(z): its ranks of z are uniform, although it ignores x."""

    def forward(self, x: Tensor) -> Distribution:
        return dist.Normal(torch.zeros(len(x), 2).double(), 1.0).to_event(1)


@functools.cache
def found(widen: float = 1.0, resample: int | None = None) -> Calibration:
    return calibration(TRUTH.vae(widen=widen), resample=resample)


def assert_uniform(p_values: np.ndarray) -> None:
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


# The p-values


def test_p_values_of_uniform_numbers_are_uniform() -> None:
    p = uniformity(np.random.default_rng(0).uniform(size=(200, 5000)))
    assert_uniform(p)
    assert abs((p < 0.01).mean() - 0.01) < 4 * np.sqrt(0.01 / 5000)


def test_components_are_means_of_orthonormal_polynomials() -> None:
    u = np.random.default_rng(0).uniform(size=40)
    written_out = [
        np.sqrt(3) * (2 * u - 1),
        np.sqrt(5) * (6 * u**2 - 6 * u + 1),
        np.sqrt(7) * (20 * u**3 - 30 * u**2 + 12 * u - 1),
        3 * (70 * u**4 - 140 * u**3 + 90 * u**2 - 20 * u + 1),
    ]
    np.testing.assert_allclose(
        components(u), np.sqrt(40) * np.mean(written_out, 1), rtol=1e-10
    )


def test_holm_by_hand() -> None:
    """0.005 · 4, 0.01 · 3, 0.03 · 2, and 0.04 · 1, which may not be below the one before it."""
    np.testing.assert_allclose(
        holm(np.array([0.04, 0.01, 0.03, 0.005])), [0.06, 0.03, 0.06, 0.02]
    )
    assert holm(np.array([0.9, 0.8])).max() == 1


@pytest.mark.parametrize("draws", [1, 9, 30])
def test_the_exact_posterior_has_uniform_p_values_and_ranks(draws: int) -> None:
    vae = TRUTH.vae()
    runs = [
        calibration(vae, num_rows=100, num_samples=draws, seed=seed)
        for seed in range(60)
    ]
    assert_uniform(np.array([run.p_values[0] for run in runs]))
    assert_uniform(np.array([run.joint_p_value for run in runs]))
    ranks = np.concatenate([run.rank for run in runs])
    assert (ranks.min(), ranks.max()) == (0, draws)
    assert stats.chisquare(np.bincount(ranks[:, 1], minlength=draws + 1)).pvalue > 0.001


def test_ties_are_broken_evenly() -> None:
    """Numbers of which most are equal: where there are ties, the pit is uniform all the same."""
    coins = torch.bernoulli(
        torch.full((6, 5000, 1), 0.3), generator=torch.Generator().manual_seed(0)
    )
    assert stats.kstest(_pit(coins[0], coins[1:])[:, 0], "uniform").pvalue > 0.001


# Guides that are wrong in a known way


@pytest.mark.parametrize(
    ("widen", "words"), [(0.7, "too narrow"), (1.4, "too wide"), (0.85, "too narrow")]
)
def test_a_wrong_width_is_rejected_and_named(widen: float, words: str) -> None:
    run = found(widen)
    assert run.p_value < 1e-6
    assert (run.p_values < 1e-3).all()
    assert "NOT calibrated" in str(run)
    assert [words in line for line in str(run).splitlines()[2:5]] == [
        True
    ] * 3  # both dimensions and log p(x, z)


@pytest.mark.parametrize("widen", [0.7, 1.0, 1.4])
def test_coverage_is_that_of_a_normal(widen: float) -> None:
    expected = 2 * stats.norm.cdf(widen * stats.norm.ppf(0.95)) - 1
    error = np.sqrt(expected * (1 - expected) / 1000)
    assert (
        np.abs(found(widen).coverage() - expected) < 4 * error + 0.01
    ).all()  # 0.01: 99 draws know a quantile to that


def test_a_shift_is_named_with_its_dimension() -> None:
    run = calibration(TRUTH.vae(guide=Shifted()))
    assert run.adjusted[0] < 1e-6 < 0.01 < run.adjusted[1]
    line = next(line for line in str(run).splitlines() if line.startswith("z[0]"))
    assert line.endswith("too high (ranks fall)")


def test_only_the_joint_density_sees_correlations_and_a_guide_that_ignores_x() -> None:
    blind = calibration(CORRELATED.vae(guide=Marginals()))
    ignorant = calibration(TRUTH.vae(guide=PriorAsGuide()))
    for run in (blind, ignorant):
        assert (run.p_values > 0.001).all()
        assert run.joint_p_value < 1e-6
        assert "blind to correlations" in str(run)


def test_importance_resampling_repairs_what_it_can() -> None:
    for widen in (0.7, 1.4):
        assert found(widen).p_value < 1e-6
        assert found(widen, 1000).p_value > 0.01
        assert "resampled from 1000 proposals" in str(found(widen, 1000))
    assert found(1.0, 1000).p_value > 0.01
    assert (
        calibration(TRUTH.vae(widen=0.7), resample=99).p_value < 1e-6
    )  # too few proposals to choose from


def test_there_is_a_line_for_each_simulated_row() -> None:
    run = found(0.7)
    table = run.to_dataframe()
    assert len(table) == 1000
    np.testing.assert_array_equal(table["rank[1]"], run.rank[:, 1])
    np.testing.assert_array_equal(table["pit[0]"], run.pit[:, 0])
    np.testing.assert_array_equal(table["joint_pit"], run.joint_pit)


def test_a_notebook_shows_a_line_for_each_dimension() -> None:
    run = found(0.7)
    shown = run._repr_html_()
    assert shown.count("<tr>") == 1 + 2 + 1  # head, dimensions, log p(x, z)
    share = run.coverage()[1]
    error = math.sqrt(share * (1 - share) / 1000)
    assert f"<td>{share:.1%} ± {error:.1%}</td>" in shown
    assert "too narrow (ranks U-shaped)" in shown
    assert "NOT calibrated" in repr(run)
    assert len(repr(run)) < 100


# What stays as it was


def test_a_seed_says_everything_and_the_generator_stays() -> None:
    vae = VAE(
        data_shape=(4,), latent_dim=2, likelihood="bernoulli", hidden_dims=(8,)
    ).train()
    before = torch.get_rng_state()
    one, two, other = (
        calibration(vae, num_rows=30, num_samples=9, seed=seed) for seed in (0, 0, 1)
    )
    assert (torch.get_rng_state() == before).all()
    assert vae.training
    np.testing.assert_array_equal(one.pit, two.pit)
    assert (one.pit != other.pit).all()
    assert one.pit.dtype == np.float64
    assert ((one.pit > 0) & (one.pit < 1)).all()


def test_the_rows_are_the_same_with_and_without_resampling() -> None:
    vae = TRUTH.vae()
    seen = []
    vae.posterior.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    calibration(vae, num_rows=5, num_samples=4)
    calibration(vae, num_rows=5, num_samples=3, resample=8)
    first, *_, last = (x for x in seen if len(x) == 5)
    assert (first == last).all()


def test_chunks_bound_what_is_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_vae.analysis.posterior_checks.sbc.CHUNK", 50)
    vae = TRUTH.vae()
    sizes = []
    vae.likelihood.decoder.register_forward_hook(
        lambda _, args, __: sizes.append(len(args[0]))
    )
    assert calibration(vae, num_rows=7, num_samples=20).pit.shape == (7, 2)
    assert calibration(vae, num_rows=3, num_samples=20, resample=120).pit.shape == (
        3,
        2,
    )
    assert max(sizes) <= 50


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_rows": 0}, "num_rows, num_samples: expected at least 1, got 0, 99"),
        ({"num_samples": 0}, "num_rows, num_samples: expected at least 1, got 1000, 0"),
        (
            {"resample": 50},
            r"resample: expected at least num_samples = 99 proposals, got 50; take "
            r"resample=990",
        ),
    ],
)
def test_what_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(TRUTH.vae(), **options)


def test_an_autoencoder_is_refused() -> None:
    with pytest.raises(ValueError, match="autoencoder"):
        calibration(VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta"))


def test_a_model_that_diverged_is_refused() -> None:
    vae = TRUTH.vae()
    vae.likelihood.decoder.bias.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="nan on rows drawn from the model"):
        calibration(vae, num_rows=5)
