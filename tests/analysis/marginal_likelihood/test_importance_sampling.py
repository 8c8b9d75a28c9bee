"""log p(x) against what is known from outside: closed forms, quadrature, and brute force."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from pyro_vae import ELBO, VAE, analysis
from pyro_vae.analysis import Evidence
from pyro_vae.analysis.marginal_likelihood.pareto import pareto_k, tail_length
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from tests.random_bits import all_bits, bernoulli_vae, by_quadrature

evidence = partial(analysis.evidence, method="importance")
"""Importance sampling from the guide, or from the proposal that is asked for."""

Estimator = Callable[[VAE, Tensor, int], tuple[np.ndarray, np.ndarray]]
TRUTH = LinearGaussian.random()
ROWS = 1000
DRAWS = 1000
WIDEN = 1.3


@pytest.fixture(scope="module")
def x() -> Tensor:
    return TRUTH.sample(ROWS, seed=1)


@pytest.fixture(scope="module")
def exact(x: Tensor) -> np.ndarray:
    return TRUTH.marginal().log_prob(x).numpy()


@pytest.fixture(scope="module")
def wide(x: Tensor) -> Evidence:
    return evidence(TRUTH.vae(widen=WIDEN), x, num_particles=DRAWS)


def log_weights(vae: VAE, x: Tensor, draws: int, seed: int = 0) -> Tensor:
    """log p(x, z) - log q(z | x), (draws, rows), as anyone would write it."""
    torch.manual_seed(seed)
    with torch.no_grad():
        q = vae.posterior(x).expand((len(x),))
        z = q.sample((draws,))
        return vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x) - q.log_prob(z)


def one_shot(weights: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log_marginal, se and ess of log weights (draws, rows) that are all there."""
    k = len(weights)
    largest = weights.max(0).values
    w = (weights - largest).exp()
    se = (w.var(0, correction=0) / max(k - 1, 1)).sqrt() / w.mean(0)
    return (
        (largest + w.mean(0).log()).numpy(),
        se.numpy(),
        (w.sum(0).square() / w.square().sum(0)).numpy(),
    )


# The oracle, and three estimators that it must reject


def ours(vae: VAE, x: Tensor, draws: int) -> tuple[np.ndarray, np.ndarray]:
    found = evidence(vae, x, num_particles=draws)
    return found.log_marginal, found.se


def brute_force(vae: VAE, x: Tensor, draws: int) -> tuple[np.ndarray, np.ndarray]:
    return one_shot(log_weights(vae, x, draws))[:2]


def one_draw_short(vae: VAE, x: Tensor, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Broken: a mean over `draws` of which one was never drawn."""
    log_marginal, se = brute_force(vae, x, max(draws - 1, 1))
    return log_marginal + math.log(max(draws - 1, 1) / draws), se


def one_weight_for_all_rows(
    vae: VAE, x: Tensor, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Broken: the weights of a whole batch, its rows multiplied, shared out evenly."""
    log_marginal, se, _ = one_shot(log_weights(vae, x, draws).sum(1, keepdim=True))
    return np.full(len(x), log_marginal[0] / len(x)), np.full(len(x), se[0])


def without_the_constant(
    vae: VAE, x: Tensor, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Broken: squared error instead of a normal's log density."""
    log_marginal, se = brute_force(vae, x, draws)
    return log_marginal + x.shape[1] * math.log(
        math.sqrt(2 * math.pi) * TRUTH.sigma
    ), se


def check_against_the_exact_answer(
    estimate: Estimator, x: Tensor, exact: np.ndarray
) -> None:
    """The exact posterior gives the answer with any number of draws; a wider one within its
    standard error.
    """
    for draws in (1, 5):
        np.testing.assert_allclose(
            estimate(TRUTH.vae(), x, draws)[0], exact, rtol=0, atol=1e-9
        )
    log_marginal, se = estimate(TRUTH.vae(widen=WIDEN), x, DRAWS)
    errors = np.abs(log_marginal - exact) / se
    assert (
        errors < 3
    ).mean() >= 0.99  # 99.7 % of normal errors; 0.99 is 4 sd of that share below
    assert (
        0.90 <= (errors < 2).mean() <= 0.98
    )  # 95.4 % of normal errors, ± 0.7 % for 1000 rows


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [ours, brute_force])
def test_agrees_with_the_exact_answer(
    estimate: Estimator, x: Tensor, exact: np.ndarray
) -> None:
    check_against_the_exact_answer(estimate, x, exact)


@pytest.mark.gpu
@pytest.mark.parametrize("compile", ["on", "off"])
def test_agrees_with_the_exact_answer_on_a_gpu(
    compile: Literal["on", "off"], x: Tensor, exact: np.ndarray
) -> None:
    def on_a_gpu(vae: VAE, x: Tensor, draws: int) -> tuple[np.ndarray, np.ndarray]:
        found = evidence(vae.to("cuda"), x, num_particles=draws, compile=compile)
        return found.log_marginal, found.se

    check_against_the_exact_answer(on_a_gpu, x, exact)


@pytest.mark.parametrize(
    "estimate", [one_draw_short, one_weight_for_all_rows, without_the_constant]
)
def test_broken_estimators_are_rejected(
    estimate: Estimator, x: Tensor, exact: np.ndarray
) -> None:
    with pytest.raises(AssertionError):
        check_against_the_exact_answer(estimate, x, exact)


# What is known of the linear-Gaussian model


def test_weights_of_the_exact_posterior_are_constant(
    x: Tensor, exact: np.ndarray
) -> None:
    found = evidence(TRUTH.vae(), x[:50], num_particles=200)
    for column in (found.log_marginal, found.elbo):
        np.testing.assert_allclose(column, exact[:50], rtol=0, atol=1e-9)
    assert (
        found.se < 1e-7
    ).all()  # the square root of what rounding leaves of a variance
    assert (found.pareto_k == -np.inf).all()
    np.testing.assert_allclose(found.ess, 200, rtol=1e-9)


def test_elbo_is_the_evidence_less_the_gap(wide: Evidence, exact: np.ndarray) -> None:
    """KL(q ‖ p(z | x)) = d (s² - 1 - log s²) / 2, and the log weights have variance d (s² - 1)² /
    2, for width s.
    """
    d = 2
    s2 = WIDEN**2
    gap = d * (s2 - 1 - math.log(s2)) / 2
    se = math.sqrt(d * (s2 - 1) ** 2 / 2 / DRAWS)
    errors = (wide.elbo - (exact - gap)) / se
    assert (np.abs(errors) < 5).all()
    assert abs(errors.mean()) < 4 / math.sqrt(ROWS)
    assert 0.9 < errors.std() < 1.1


def test_effective_number_of_draws(wide: Evidence) -> None:
    """ESS / K goes to (E w)² / E w² = ((2 s² - 1) / s⁴)^(d / 2) for width s, here 0.834."""
    s2 = WIDEN**2
    assert abs(wide.ess.mean() / DRAWS - (2 * s2 - 1) / s2**2) < 0.002
    assert ((wide.ess >= 1) & (wide.ess <= DRAWS)).all()


def test_elbo_is_below_log_marginal(wide: Evidence, x: Tensor) -> None:
    narrow = evidence(TRUTH.vae(widen=0.3), x[:100], num_particles=100)
    for found in (wide, narrow):
        assert (found.elbo < found.log_marginal).all()
        assert (
            (found.ess >= 1 - 1e-9) & (found.ess <= found.num_particles + 1e-9)
        ).all()


@pytest.mark.slow
@pytest.mark.parametrize(("widen", "share"), [(1 / 2, 0.5), (1 / 3, 0.85)])
def test_k_hat_detects_a_guide_that_is_too_narrow(
    widen: float, share: float, x: Tensor
) -> None:
    """The weights of a guide s times as wide have the tail index 1 - s², which k-hat draws to 0.5
    by ten values.
    """
    found = evidence(TRUTH.vae(widen=widen), x[:200], num_particles=5000)
    rows = 200
    tail = tail_length(5000)
    expected = (tail * (1 - widen**2) + 5) / (tail + 10)
    assert abs(found.pareto_k.mean() - expected) < 4 * found.pareto_k.std() / math.sqrt(
        rows
    )
    assert found.unreliable_share == (found.pareto_k > 0.7).mean() > share


def test_k_hat_of_a_wide_guide_is_low(wide: Evidence) -> None:
    assert (wide.pareto_k < 0.5).all()
    assert wide.unreliable_share == 0


def test_the_constants_of_a_normal_are_kept() -> None:
    """64 pixels that are predicted exactly, with unit variance: -32 log 2π = -58.8 nats."""
    decoder = nn.Linear(2, 64)
    nn.init.zeros_(decoder.weight)
    nn.init.zeros_(decoder.bias)
    prior = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    vae = VAE(
        data_shape=(64,),
        latent_dim=2,
        likelihood={"kind": "normal", "scale": 1.0},
        guide=prior,
        decoder=decoder,
    ).double()
    found = evidence(vae, torch.zeros(3, 64), num_particles=10)
    np.testing.assert_allclose(
        found.log_marginal, -32 * math.log(2 * math.pi), rtol=1e-12
    )
    np.testing.assert_allclose(
        found.bits_per_dim, 0.5 * math.log2(2 * math.pi), rtol=1e-12
    )


# Bits, by quadrature


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_agrees_with_quadrature(latent_dim: int) -> None:
    vae = bernoulli_vae(latent_dim)
    x = all_bits(7)
    expected = by_quadrature(vae, x, latent_dim)
    assert abs(np.exp(expected).sum() - 1) < 1e-9
    found = evidence(vae, x, num_particles=2000)
    assert (np.abs(found.log_marginal - expected) < 3 * found.se).mean() >= 0.97
    total = np.exp(found.log_marginal).sum()
    error = np.linalg.norm(np.exp(found.log_marginal) * found.se)
    assert abs(total - 1) < 4 * error
    assert error < 0.02


def test_elbo_is_that_of_the_objective() -> None:
    vae = bernoulli_vae(2)
    x = all_bits(7)
    draws = 2000
    found = evidence(vae, x, num_particles=draws).elbo
    sd = log_weights(vae, x, 500).std(0).numpy()
    torch.manual_seed(0)
    for kl in ("monte_carlo", "analytic"):
        with torch.no_grad():
            elbo = ELBO(kl=kl, num_particles=draws)(
                vae.model, vae.guide, x
            ).elbo.numpy()
        assert (
            np.abs(found - elbo) < 5 * math.sqrt(2 / draws) * sd
        ).all()  # the analytic one errs less


# The sums


def captured(
    monkeypatch: pytest.MonkeyPatch, vae: VAE, x: Tensor, draws: int
) -> tuple[Evidence, Tensor]:
    """The evidence of a few rows, and the log weights that it was made from, (draws, rows)."""
    seen: list[Tensor] = []
    add = Weights.add
    monkeypatch.setattr(
        Weights,
        "add",
        lambda self, new, rows: (seen.append(new), add(self, new, rows))[1],
    )
    found = evidence(vae, x, num_particles=draws, chunk_size=draws * len(x))
    monkeypatch.undo()
    return found, torch.cat(seen)


@pytest.mark.parametrize("draws", [2, 25, 250, 777])
def test_results_follow_from_the_weights(
    draws: int, monkeypatch: pytest.MonkeyPatch, x: Tensor
) -> None:
    found, weights = captured(monkeypatch, TRUTH.vae(widen=0.7), x[:9], draws)
    assert weights.shape == (draws, 9)
    log_marginal, se, ess = one_shot(weights)
    largest = np.sort(weights.numpy().T)[:, -tail_length(draws) - 1 :]
    np.testing.assert_allclose(found.log_marginal, log_marginal, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.se, se, rtol=1e-9)
    np.testing.assert_allclose(found.ess, ess, rtol=1e-10)
    np.testing.assert_allclose(found.elbo, weights.mean(0), rtol=1e-12)
    np.testing.assert_array_equal(found.pareto_k, pareto_k(largest, draws))


@pytest.mark.parametrize(
    ("level", "spread"), [(-1e4, 200.0), (-1e4, 0.0), (900.0, 5.0), (-745.0, 1e-3)]
)
def test_running_sums_at_extreme_weights(level: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(level + spread * rng.normal(size=(1000, 20)))
    running = Weights.empty(20, 1000)
    for chunk in weights.split([1, 9, 240, 3, 747]):
        running.add(chunk)
    found = running.columns()
    expected = one_shot(weights)
    np.testing.assert_allclose(found["log_marginal"], expected[0], rtol=1e-14)
    np.testing.assert_allclose(found["se"], expected[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["ess"], expected[2], rtol=1e-9)
    np.testing.assert_allclose(found["elbo"], weights.mean(0), rtol=1e-14)
    tail = np.sort(weights.T)[:, -tail_length(1000) - 1 :]
    np.testing.assert_array_equal(found["pareto_k"], pareto_k(tail, 1000))
