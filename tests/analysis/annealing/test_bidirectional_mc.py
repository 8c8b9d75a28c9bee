"""Bidirectional Monte Carlo: the truth is inside the bracket, and each side is unbiased on its own
scale.
"""

import math
from collections.abc import Callable

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from pyro_vae import VAE
from pyro_vae.analysis.annealing import bidirectional_mc as module
from pyro_vae.analysis.annealing.ais import annealed
from pyro_vae.analysis.annealing.bidirectional_mc import Bracket, bidirectional
from pyro_vae.analysis.annealing.chains import (
    AnnealingOptions,
    ChainsResult,
    TemperatureSchedule,
    run_reverse,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random()
Reverse = Callable[
    [GeometricPath, Tensor, TemperatureSchedule, list[int], AnnealingOptions],
    ChainsResult,
]


def exact(bracket: Bracket) -> np.ndarray:
    return TRUTH.marginal().log_prob(torch.from_numpy(bracket.x)).numpy()


# The oracle, and chains that it must reject


def without_the_last_weight(
    path: GeometricPath,
    z: Tensor,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """Broken: the sum ends one temperature early."""
    chains = run_reverse(path, z, schedule, seeds, options)
    return chains._replace(
        log_weight=chains.log_weight - schedule.b[1] * path.ends(z)[1]
    )


def from_the_guide_mean(
    path: GeometricPath,
    z: Tensor,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """Broken: a start that is no draw from the posterior."""
    return run_reverse(
        path, path.start.mean.expand_as(z).contiguous(), schedule, seeds, options
    )


def in_the_wrong_direction(
    path: GeometricPath,
    z: Tensor,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """Broken: the weights of 1 / p(x) instead of p(x)."""
    chains = run_reverse(path, z, schedule, seeds, options)
    return chains._replace(log_weight=-chains.log_weight)


def check_unbiased(rows: int = 1000) -> None:
    """Over rows, p(x) exp(-upper) and exp(lower) / p(x) have mean 1, though there are few
    temperatures.
    """
    found = bidirectional(
        TRUTH.vae(widen=1.2),
        num_rows=rows,
        num_chains=2,
        temperatures=3,
        leapfrog_steps=2,
        start="guide",
        chunk_size=10_000,
    )
    for ratio in (
        np.exp(exact(found) - found.upper),
        np.exp(found.lower - exact(found)),
    ):
        assert ratio.std() < 1
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(rows)


def test_both_sides_are_unbiased() -> None:
    check_unbiased()


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken", [without_the_last_weight, from_the_guide_mean, in_the_wrong_direction]
)
def test_broken_chains_are_rejected(
    broken: Reverse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_reverse", broken)
    with pytest.raises(AssertionError):
        check_unbiased()


@pytest.mark.parametrize(
    ("start", "temperatures"),
    [pytest.param("prior", 300, marks=pytest.mark.slow), ("guide", 40)],
)
def test_the_bracket_holds_the_truth_and_closes(start: str, temperatures: int) -> None:
    found = bidirectional(
        TRUTH.vae(widen=1.5),
        num_rows=30,
        num_chains=32,
        temperatures=temperatures,
        start=start,
    )
    truth = exact(found)
    assert found.gap.mean() < 0.1
    assert ((found.lower - truth) < 4 * found.lower_se).all()
    below = found.lower - truth
    above = found.upper - truth
    assert below.mean() < 3 * below.std() / math.sqrt(30)
    assert above.mean() > -3 * above.std() / math.sqrt(30)


def test_few_temperatures_leave_it_open() -> None:
    found = bidirectional(
        TRUTH.vae(), num_rows=200, num_chains=2, temperatures=3, leapfrog_steps=2
    )
    truth = exact(found)
    assert found.lower.mean() + 0.5 < truth.mean() < found.upper.mean() - 0.5


def bernoulli_vae() -> VAE:
    guide = dist.Normal(torch.zeros(2), 1.3).to_event(1)
    vae = VAE(
        data_shape=(7,),
        latent_dim=2,
        likelihood="bernoulli",
        guide=guide,
        hidden_dims=(8,),
    ).double()
    generator = torch.Generator().manual_seed(3)
    for parameter in vae.parameters():
        parameter.data.copy_(1.5 * torch.randn(parameter.shape, generator=generator))
    return vae


def by_quadrature(vae: VAE, x: Tensor, points: int = 301) -> np.ndarray:
    """log ∫ p(x | z) p(z) dz by the trapezoidal rule on [-8, 8]²; the tails outside hold 1e-15."""
    z = torch.cartesian_prod(*[torch.linspace(-8, 8, points, dtype=torch.float64)] * 2)
    with torch.no_grad():
        logits = vae.likelihood(z).base_dist.logits
        log_joint = (
            x @ logits.T
            - torch.nn.functional.softplus(logits).sum(1)
            + vae.prior().log_prob(z)
        )
    return (log_joint.logsumexp(1) + 2 * math.log(16 / (points - 1))).numpy()


def test_the_bracket_holds_the_truth_of_bits() -> None:
    vae = bernoulli_vae()
    found = bidirectional(
        vae, num_rows=60, num_chains=16, temperatures=100, leapfrog_steps=5
    )
    truth = by_quadrature(vae, torch.from_numpy(found.x))
    below = found.lower - truth
    above = found.upper - truth
    assert found.gap.mean() < 0.1
    assert below.mean() < 3 * below.std() / math.sqrt(60)
    assert above.mean() > -3 * above.std() / math.sqrt(60)
    assert (np.abs(below) < 0.4).all()
    assert (np.abs(above) < 0.4).all()


# What it returns


def test_rows_come_from_the_model() -> None:
    found = bidirectional(
        TRUTH.vae(),
        num_rows=2000,
        num_chains=1,
        temperatures=1,
        leapfrog_steps=1,
        chunk_size=4000,
    )
    p = TRUTH.marginal()
    errors = (found.x.mean(0) - p.mean.numpy()) / (p.stddev.numpy() / math.sqrt(2000))
    assert (np.abs(errors) < 4).all()
    np.testing.assert_allclose(
        np.cov(found.x.T), p.covariance_matrix.numpy(), atol=0.25
    )


def test_gap_and_chunks() -> None:
    vae = TRUTH.vae(widen=1.3)
    found, chunked = (
        bidirectional(
            vae,
            num_rows=3,
            num_chains=3,
            temperatures=5,
            leapfrog_steps=3,
            chunk_size=size,
        )
        for size in (100, 4)
    )
    np.testing.assert_array_equal(found.gap, found.upper - found.lower)
    np.testing.assert_array_equal(found.se, np.hypot(found.lower_se, found.upper_se))
    for name in ("x", "lower", "upper", "lower_se", "upper_se"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(chunked, name), rtol=1e-9, atol=1e-9
        )


def test_its_lower_side_is_what_annealing_gives() -> None:
    vae = TRUTH.vae(widen=1.3)
    found = bidirectional(
        vae,
        num_rows=10,
        num_chains=64,
        temperatures=20,
        start="guide",
        leapfrog_steps=3,
    )
    again = annealed(
        vae, found.x, num_chains=64, temperatures=20, start="guide", leapfrog_steps=3
    )
    assert (
        np.abs(found.lower - again.log_marginal)
        < 4 * np.hypot(found.lower_se, again.se)
    ).all()


def test_nothing_is_left_changed() -> None:
    vae = bernoulli_vae().train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state = torch.get_rng_state()
    bidirectional(vae, num_rows=2, num_chains=2, temperatures=3)
    assert all(
        torch.equal(value, before[name]) for name, value in vae.state_dict().items()
    )
    assert vae.training
    assert torch.equal(torch.get_rng_state(), state)


def test_the_summary_says_how_to_read_it() -> None:
    found = bidirectional(bernoulli_vae(), num_rows=3, num_chains=2, temperatures=3)
    text = found.summary()
    for part in (
        f"{found.gap.mean():.3f} ±",
        "2 chains",
        "3 temperatures",
        "3 rows drawn",
        "lies between",
        "resemble",
    ):
        assert part in text


@pytest.mark.parametrize(
    "name", ["num_rows", "num_chains", "temperatures", "leapfrog_steps", "chunk_size"]
)
def test_nothing_to_do_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least 1"):
        bidirectional(bernoulli_vae(), **{name: 0})


def test_an_autoencoder_is_refused() -> None:
    with pytest.raises(ValueError, match="autoencoder"):
        bidirectional(VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta"))


def test_totals_and_a_line_for_each_row() -> None:
    found = bidirectional(bernoulli_vae(), num_rows=4, num_chains=2, temperatures=3)
    assert found.mean_gap == found.gap.mean()
    assert found.mean_gap_se == pytest.approx(found.gap.std(ddof=1) / 2, rel=1e-14)
    table = found.to_dataframe()
    np.testing.assert_array_equal(table["gap"], found.upper - found.lower)
    np.testing.assert_array_equal(table["se"], np.hypot(found.lower_se, found.upper_se))
    assert repr(found).startswith("Bracket(rows=4, gap ")
    assert "array" not in repr(found)
