"""Annealed importance sampling against closed forms and quadrature."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from pyro_vae import VAE
from pyro_vae.analysis.annealing import ais as module
from pyro_vae.analysis.annealing.ais import Annealed, annealed
from pyro_vae.analysis.annealing.chains import (
    AnnealingOptions,
    Chains,
    ChainsResult,
    RowNoiseStreams,
    TemperatureSchedule,
    run_forward,
    seeds_of,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.annealing.temperatures import evenly_spaced, tuned
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from tests.quadrature import real_grid

TRUTH = LinearGaussian.random()
Forward = Callable[
    [GeometricPath, TemperatureSchedule, list[int], AnnealingOptions], ChainsResult
]


def exact(x: Tensor) -> np.ndarray:
    return TRUTH.marginal().log_prob(x).numpy()


# The oracle, and chains that it must reject


def without_the_last_weight(
    path: GeometricPath,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """Broken: the sum ends one temperature early."""
    chains = run_forward(path, schedule, seeds, options)
    b = schedule.b
    return chains._replace(log_weight=chains.log_weight * (b[-2] - b[0]))


def with_the_other_sign(
    path: GeometricPath,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """Broken: the weights of the chains in the other direction."""
    chains = run_forward(path, schedule, seeds, options)
    return chains._replace(log_weight=-chains.log_weight)


def one_temperature_ahead(
    path: GeometricPath,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """Broken: each weight comes after the move that it should come before."""
    chains = Chains(
        path, schedule, path.draw(seeds, options.num_chains), seeds, options
    )
    for t in range(1, len(schedule.b)):
        chains.move(t)
        chains.weigh(t - 1, t)
    return chains.result


def check_unbiased(start: str, temperatures: int) -> None:
    """The mean of 10 000 weights is p(x) within its standard error, though there are few
    temperatures.
    """
    x = TRUTH.sample(2, seed=4)
    found = annealed(
        TRUTH.vae(widen=1.2),
        x,
        num_chains=10_000,
        temperatures=temperatures,
        leapfrog_steps=2,
        start=start,
        seed=1,
    )
    assert (found.se < 0.06).all()
    assert (np.abs(found.log_marginal - exact(x)) < 4 * found.se).all()


@pytest.mark.parametrize(
    ("start", "temperatures"), [("guide", 1), ("guide", 2), ("guide", 4), ("prior", 6)]
)
def test_weights_are_unbiased(start: str, temperatures: int) -> None:
    check_unbiased(start, temperatures)


@pytest.mark.parametrize(
    "broken", [without_the_last_weight, with_the_other_sign, one_temperature_ahead]
)
def test_broken_chains_are_rejected(
    broken: Forward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_forward", broken)
    with pytest.raises(AssertionError):
        check_unbiased("guide", 4)


@pytest.mark.parametrize(
    ("start", "chains", "temperatures"),
    [pytest.param("prior", 800, 150, marks=pytest.mark.slow), ("guide", 200, 50)],
    ids=["prior", "guide"],
)
def test_agrees_with_the_exact_answer(
    start: str, chains: int, temperatures: int
) -> None:
    x = TRUTH.sample(4, seed=1)
    found = annealed(
        TRUTH.vae(widen=1.5),
        x,
        num_chains=chains,
        temperatures=temperatures,
        leapfrog_steps=5,
        start=start,
    )
    assert (np.abs(found.log_marginal - exact(x)) < 0.05).all()
    assert (found.se < 0.04).all()
    assert (found.ess > 0.4 * chains).all()


def test_the_standard_error_covers() -> None:
    x = TRUTH.sample(200, seed=2)
    found = annealed(
        TRUTH.vae(widen=1.5),
        x,
        num_chains=64,
        temperatures=20,
        leapfrog_steps=3,
        start="guide",
        chunk_size=20_000,
    )
    errors = (found.log_marginal - exact(x)) / found.se
    assert 0.85 < errors.std() < 1.15
    assert abs(errors.mean()) < 4 / math.sqrt(200)


@pytest.mark.parametrize("temperatures", [1, 7])
def test_from_the_exact_posterior_every_weight_is_the_answer(temperatures: int) -> None:
    x = TRUTH.sample(5)
    found = annealed(
        TRUTH.vae(), x, num_chains=4, temperatures=temperatures, start="guide"
    )
    np.testing.assert_allclose(found.log_marginal, exact(x), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.ess, 4, rtol=1e-9)
    assert (found.se < 1e-6).all()


def test_more_temperatures_raise_a_low_estimate() -> None:
    x = TRUTH.sample(100, seed=3)
    errors = [
        annealed(
            TRUTH.vae(), x, num_chains=2, temperatures=t, leapfrog_steps=3
        ).log_marginal
        - exact(x)
        for t in (1, 10, 100)
    ]
    assert (
        errors[0].mean()
        < errors[1].mean()
        < errors[2].mean()
        < 4 * errors[2].std() / 10
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", ["prior", "guide"])
@pytest.mark.parametrize("widen", [0.3, 3.0])
def test_steps_are_tuned(start: str, widen: float) -> None:
    """Whatever the width of the guide, which is the unit of the steps."""
    found = annealed(
        TRUTH.vae(widen=widen),
        TRUTH.sample(5),
        temperatures=100,
        start=start,
        leapfrog_steps=5,
    )
    assert 0.7 < found.acceptance.mean() < 0.9
    assert 0.5 < found.step_size.mean() * widen < 2.5


def test_temperatures_are_spaced_by_the_spread() -> None:
    """A spread b, with a fifth of its mean ½ added, has the integral b² / 2 + b / 10; no spread is
    spaced evenly.
    """
    b = torch.linspace(0, 1, 1001, dtype=torch.float64)
    found = evenly_spaced(
        b, torch.stack([b, 0 * b], 1), torch.stack([b + 1, b + 2], 1), 10
    )
    even = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(found.b[:, 1], even)
    torch.testing.assert_close(
        (found.b[:, 0].square() / 2 + found.b[:, 0] / 10) / 0.6, even, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        found.step_size, found.b + torch.tensor([1.0, 2.0]), rtol=1e-6, atol=0
    )


def test_a_ladder_from_the_prior_starts_with_small_steps() -> None:
    """From the prior U(z) varies most at first, so a tenth of the temperatures is below 0.05."""
    vae = TRUTH.vae()
    x = TRUTH.sample(3)
    options = AnnealingOptions(16, 50, 3, "prior", 0, 1000, False)
    with torch.no_grad():
        found = tuned(GeometricPath.of(vae, x, "prior"), seeds_of(x, "pilot"), options)
    assert (found.b.diff(dim=0) > 0).all()
    assert (found.b[5] < 0.05).all()
    assert (found.b[-5] < 0.9).all()
    assert not torch.equal(found.b[:, 0], found.b[:, 1])


# Quadrature: two latent dimensions, bits


def bits(features: int = 4) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * features).double()


def bernoulli_vae(prior: Any = "standard_normal", guide: Any = "mean_field") -> VAE:
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        prior=prior,
        likelihood="bernoulli",
        guide=guide,
        hidden_dims=(8,),
        seed=1,
    ).double()
    generator = torch.Generator().manual_seed(3)
    for parameter in vae.likelihood.parameters():
        parameter.data.copy_(1.5 * torch.randn(parameter.shape, generator=generator))
    return vae


def by_quadrature(vae: VAE, x: Tensor) -> np.ndarray:
    """log ∫ p(x | z) p(z) dz."""
    z, weights = real_grid(torch.zeros(2), torch.full((2,), 0.3), reach=5.0, size=401)
    with torch.no_grad(), pyro.validation_enabled(False):
        logits = vae.likelihood(z).base_dist.logits
        log_prior = vae.prior().log_prob(z).nan_to_num(-torch.inf)
    log_joint = x @ logits.T - torch.nn.functional.softplus(logits).sum(1) + log_prior
    return (log_joint + weights.log()).logsumexp(1).numpy()


def positive(scale: float) -> dist.TorchDistribution:
    """A density on (0, ∞)², nan elsewhere."""
    return dist.LogNormal(torch.zeros(2), scale).to_event(1)


def check_against_quadrature(vae: VAE, start: str) -> None:
    x = bits()
    expected = by_quadrature(vae, x)
    assert abs(np.exp(expected).sum() - 1) < 1e-4
    found = annealed(
        vae,
        x,
        num_chains=400,
        temperatures=20,
        leapfrog_steps=3,
        start=start,
        chunk_size=10_000,
    )
    errors = np.abs(found.log_marginal - expected)
    assert (found.se < 0.1).all()
    assert (errors < 4 * found.se).all()
    total = np.exp(found.log_marginal).sum()
    assert abs(total - 1) < 4 * np.linalg.norm(np.exp(found.log_marginal) * found.se)


TWO_LEVELS = {"kind": "hierarchical", "top_dim": 1}
PRIORS: list[Any] = [
    "standard_normal",
    "normal",
    "laplace",
    "student_t",
    {"kind": "mixture", "components": 3},
    {"kind": "vamp", "pseudo_inputs": 3},
    {"kind": "flow", "transforms": 2, "hidden_dims": (8,)},
    pytest.param(TWO_LEVELS, marks=pytest.mark.slow),
]
GUIDES: list[Any] = [
    "full_rank",
    "low_rank",
    pytest.param({"kind": "flow", "transform": "coupling"}, marks=pytest.mark.slow),
    "semi_amortized",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "prior",
    PRIORS,
    ids=lambda prior: prior if isinstance(prior, str) else prior["kind"],
)
def test_agrees_with_quadrature_for_each_prior(prior: Any) -> None:
    check_against_quadrature(bernoulli_vae(prior), "prior")


@pytest.mark.parametrize(
    "guide",
    GUIDES,
    ids=lambda guide: guide if isinstance(guide, str) else guide["kind"],
)
def test_agrees_with_quadrature_for_each_guide(guide: Any) -> None:
    check_against_quadrature(bernoulli_vae(guide=guide), "guide")


@pytest.mark.slow
def test_agrees_with_quadrature_on_two_levels() -> None:
    check_against_quadrature(bernoulli_vae(TWO_LEVELS, TWO_LEVELS), "guide")


@pytest.mark.parametrize("start", ["prior", "guide"])
def test_agrees_with_quadrature_where_z_is_positive(start: str) -> None:
    check_against_quadrature(bernoulli_vae(positive(0.7), positive(0.8)), start)


def test_a_uniform_prior_has_no_slope() -> None:
    """Against a midpoint rule on its square."""
    flat = dist.Uniform(-torch.ones(2).double(), 1.0).to_event(1)
    vae = bernoulli_vae(flat, flat)
    x = bits()
    z = torch.cartesian_prod(*[(torch.arange(200) + 0.5).double() / 100 - 1] * 2)
    with torch.no_grad():
        expected = (
            vae.likelihood(z.unsqueeze(1)).log_prob(x).exp().mean(0).log().numpy()
        )
    found = annealed(
        vae, x, num_chains=400, temperatures=20, leapfrog_steps=3, chunk_size=10_000
    )
    assert (np.abs(found.log_marginal - expected) < 4 * found.se).all()
    assert (found.se < 0.1).all()


def test_float32_agrees_with_float64() -> None:
    vae = bernoulli_vae()
    x = bits()
    found = annealed(
        vae.float(),
        x.float(),
        num_chains=100,
        temperatures=20,
        leapfrog_steps=3,
        chunk_size=10_000,
    )
    assert found.log_marginal.dtype == np.float64
    assert (
        np.abs(found.log_marginal - by_quadrature(vae.double(), x)) < 4 * found.se
    ).all()


# Rows by themselves, and the model as it was


def arrays(found: Annealed) -> np.ndarray:
    return np.stack(
        [found.log_marginal, found.se, found.ess, found.acceptance, found.step_size]
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", ["prior", "guide"])
def test_a_row_does_not_depend_on_the_others(start: str) -> None:
    vae = bernoulli_vae()
    x = bits()[:4]

    def run(rows: Tensor, **options: Any) -> np.ndarray:
        return arrays(
            annealed(
                vae,
                rows,
                num_chains=5,
                temperatures=12,
                leapfrog_steps=2,
                start=start,
                **options,
            )
        )

    together = run(x)
    for chunk_size in (1, 10):
        np.testing.assert_allclose(
            run(x, chunk_size=chunk_size), together, rtol=1e-9, atol=1e-9
        )
    np.testing.assert_allclose(run(x.flip(0)), together[:, ::-1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(run(x[3:4]), together[:, 3:4], rtol=1e-9, atol=1e-9)
    assert (run(x, seed=1)[0] != together[0]).all()


def test_equal_rows_and_purposes_have_equal_seeds_only() -> None:
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    first, second, third = seeds_of(x, "up 0")
    assert first == third != second
    assert not {first, second} & set(seeds_of(x, "up 1"))
    assert seeds_of(x[1:2], "up 0") == [second]


def test_noise_is_standard_normal_and_uniform() -> None:
    noise = RowNoiseStreams(torch.zeros(500, 3, 2, dtype=torch.float64), [1, 2, 3])
    drawn = [noise.draw() for _ in range(20)]
    momentum = torch.stack([noise.momentum for noise, _ in drawn]).flatten()
    log_u = torch.stack([noise.log_uniform for noise, _ in drawn])
    jitter = torch.stack([factor for _, factor in drawn])
    n = log_u.numel()
    assert abs(momentum.mean()) < 4 / math.sqrt(2 * n)
    assert abs(momentum.var() - 1) < 4 * math.sqrt(2 / (2 * n))
    assert abs(log_u.mean() + 1) < 4 / math.sqrt(n)  # -log u ~ Exp(1)
    assert jitter.min() > 0.8
    assert jitter.max() < 1.2
    assert abs(jitter.mean() - 1) < 4 * 0.4 / math.sqrt(12 * n)


def test_nothing_is_left_changed() -> None:
    vae = bernoulli_vae("vamp").train()
    vae.guide.posterior.encoder.eval()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    modes = [module.training for module in vae.modules()]
    state = torch.get_rng_state()
    annealed(vae, bits(), num_chains=2, temperatures=3, start="guide")
    assert all(
        torch.equal(value, before[name]) for name, value in vae.state_dict().items()
    )
    assert [module.training for module in vae.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(
        parameter.grad is None and parameter.requires_grad
        for parameter in vae.parameters()
    )


# Small cases, words, and bad input


def test_one_chain_has_no_standard_error() -> None:
    found = annealed(bernoulli_vae(), bits()[:2], num_chains=1, temperatures=3)
    assert np.isnan(found.se).all()
    assert np.isfinite(found.log_marginal).all()
    assert (found.ess == 1).all()


def test_one_temperature_takes_no_moves() -> None:
    found = annealed(bernoulli_vae(), bits()[:2], temperatures=1)
    assert np.isnan(found.acceptance).all()


def test_the_summary_says_how_to_read_it() -> None:
    found = annealed(bernoulli_vae(), bits(), num_chains=4, temperatures=5)
    text = found.summary()
    assert f"{found.log_marginal.mean():.3f} ±" in text
    for part in (
        "4 chains",
        "5 temperatures",
        "16 rows",
        "more chains would remove",
        "take more temperatures",
    ):
        assert part in text


def test_bars_are_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    annealed(bernoulli_vae(), bits()[:1], num_chains=2, temperatures=3)
    assert capsys.readouterr().err == ""
    annealed(bernoulli_vae(), bits()[:1], num_chains=2, temperatures=3, progress=True)
    assert "temperature" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["num_chains", "temperatures", "leapfrog_steps", "chunk_size"]
)
def test_nothing_to_do_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        annealed(bernoulli_vae(), bits(), **{name: 0})


def test_bad_input_is_refused() -> None:
    vae = bernoulli_vae()
    x = bits()
    with pytest.raises(
        ValueError, match="start: expected 'prior' or 'guide', got 'posterior'"
    ):
        annealed(vae, x, start="posterior")
    with pytest.raises(ValueError, match="at least one row"):
        annealed(vae, x[:0])
    with pytest.raises(ValueError, match=r"expected rows of shape \(4,\), got \(3,\)"):
        annealed(vae, x[:, :3])
    with pytest.raises(ValueError, match=r"support \{0, 1\}, got 0.5 in row 0"):
        annealed(vae, x + 0.5)


def test_models_that_it_does_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="autoencoder"):
        annealed(
            VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta"), bits()
        )
    coin = dist.Bernoulli(torch.full((2,), 0.3)).to_event(1)
    with pytest.raises(ValueError, match="discrete"):
        annealed(VAE(data_shape=(4,), latent_dim=2, prior=coin, guide=coin), bits())


def test_equal_rows_share_their_error() -> None:
    """Their chains are the same, so that four of them know no more than one."""
    first, other = bits()[0], bits()[5]
    x = torch.stack([first, first, other, first, first])
    found = annealed(bernoulli_vae(), x, num_chains=4, temperatures=5)
    assert (found.se[[1, 3, 4]] == found.se[0]).all()
    expected = math.sqrt((4 * found.se[0]) ** 2 + found.se[2] ** 2) / 5
    assert found.monte_carlo_se == pytest.approx(expected, rel=1e-14)


def test_totals_and_a_line_for_each_row() -> None:
    found = annealed(bernoulli_vae(), bits()[:5], num_chains=4, temperatures=5)
    assert found.mean_log_marginal == found.log_marginal.mean()
    spread = found.log_marginal.std(ddof=1)
    assert found.mean_log_marginal_se == pytest.approx(spread / math.sqrt(5), rel=1e-14)
    assert found.monte_carlo_se == pytest.approx(
        math.sqrt((found.se**2).sum()) / 5, rel=1e-14
    )
    table = found.to_dataframe()
    assert list(table) == ["log_marginal", "se", "ess", "acceptance", "step_size"]
    np.testing.assert_array_equal(table["se"], found.se)
    assert repr(found).startswith("Annealed(rows=5, log p(x) -")
    assert len(repr(found)) < 100
    assert str(found) == found.summary()
