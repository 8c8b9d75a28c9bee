"""NUTS on single rows against closed forms and quadrature, and its verdicts on wrong guides."""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import MCMC
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae import VAE
from pyro_vae.analysis.posterior_checks.moments import (
    Difference,
    Moments,
    sd_error,
    weighted_moments,
)
from pyro_vae.analysis.posterior_checks.nuts import audit
from pyro_vae.analysis.posterior_checks.nuts_results import Audit
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random()
TINY = {"num_chains": 2, "num_samples": 4, "warmup_steps": 4, "num_particles": 20}


def tiny(vae: VAE, x: Any, **options: int) -> Audit:
    return audit(vae, x, **{**TINY, **options})


def moments(mean: float = 0.0, sd: float = 1.0, se: float = 0.0) -> Moments:
    one = np.ones((1, 2))
    return Moments(mean * one, se * one, sd * one, se * one)


# The oracles


@pytest.mark.slow
def test_nuts_finds_the_exact_posterior_and_how_wrong_the_guide_is() -> None:
    x = TRUTH.sample(1, seed=5)
    exact = TRUTH.posterior(x)
    found = audit(
        TRUTH.vae(widen=0.8), x, num_samples=800, warmup_steps=300, num_particles=5000
    )
    mean = exact.mean.numpy()
    sd = exact.stddev.numpy()
    assert (np.abs(found.nuts.mean - mean) < 0.05 * sd).all()
    assert (np.abs(found.nuts.sd / sd - 1) < 0.05).all()
    assert (np.abs(found.nuts.mean - mean) < 4 * found.nuts.mean_se).all()
    assert (np.abs(found.nuts.sd - sd) < 4 * found.nuts.sd_se).all()
    assert (np.abs(found.guide.ratio - 0.8) < 4 * found.guide.ratio_se).all()
    assert (np.abs(found.resampled.ratio - 1) < 4 * found.resampled.ratio_se).all()
    assert (np.abs(found.resampled.shift) < 4 * found.resampled.shift_se).all()
    assert found.converged.all()


class Bent(nn.Module):
    """logits = A tanh(B z): z on a line, x in {0, 1}⁶."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.a, self.b = (
            nn.Parameter(2 * torch.randn(*shape, generator=generator))
            for shape in ((6, 4), (4, 1))
        )

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z @ self.b.T) @ self.a.T


class Fixed(nn.Module):
    """q(z | x) = N(0.3, 1.2²) for each x."""

    def forward(self, x: Tensor) -> Distribution:
        return dist.Normal(torch.full((len(x), 1), 0.3, dtype=x.dtype), 1.2).to_event(1)


@pytest.mark.slow
def test_nuts_and_the_resampled_guide_agree_with_quadrature() -> None:
    vae = VAE(
        data_shape=(6,),
        latent_dim=1,
        likelihood="bernoulli",
        guide=Fixed(),
        decoder=Bent(),
    ).double()
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    grid = torch.linspace(-9, 9, 20001, dtype=torch.float64).unsqueeze(-1)
    with torch.no_grad():
        p = (vae.prior().log_prob(grid) + vae.likelihood(grid).log_prob(x)).softmax(0)
    mean = float(p @ grid[:, 0])
    sd = float((p @ (grid[:, 0] - mean).square()).sqrt())
    found = audit(vae, x, num_samples=600, warmup_steps=300, num_particles=20_000)
    assert abs(sd - 1) > 0.1  # the row says something
    assert abs(found.nuts.mean - mean) < 4 * found.nuts.mean_se < 0.2 * sd
    assert abs(found.nuts.sd - sd) < 4 * found.nuts.sd_se < 0.2 * sd
    assert abs(found.guide.shift - (0.3 - mean) / sd) < 4 * found.guide.shift_se
    assert abs(found.guide.ratio - 1.2 / sd) < 4 * found.guide.ratio_se
    assert abs(found.resampled.shift) < 4 * found.resampled.shift_se
    assert abs(found.resampled.ratio - 1) < 4 * found.resampled.ratio_se


def test_weighted_moments_are_those_of_the_target() -> None:
    """400 repetitions of draws of N(0, 1.2²), weighted to N(0.4, 1), have the stated errors."""
    q = torch.distributions.Normal(0.0, 1.2)
    p = torch.distributions.Normal(0.4, 1.0)
    z = 1.2 * torch.randn(
        400, 500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    found = [
        weighted_moments(some, (p.log_prob(some) - q.log_prob(some))[:, 0])
        for some in z
    ]
    mean, mean_se, sd, sd_se = (
        np.array(column)[:, 0] for column in zip(*found, strict=True)
    )
    for errors in ((mean - 0.4) / mean_se, (sd - 1) / sd_se):
        assert abs(errors.mean()) < 0.25
        assert abs(errors.std() - 1) < 0.15


def test_differences_by_hand() -> None:
    found = Difference.between(
        moments(mean=3.0, sd=1.0, se=0.3), moments(mean=2.0, sd=2.0, se=0.4)
    )
    np.testing.assert_allclose(found.shift, 0.5)
    np.testing.assert_allclose(
        found.shift_se, np.sqrt(0.3**2 + 0.4**2 + (0.5 * 0.4) ** 2) / 2
    )
    np.testing.assert_allclose(found.ratio, 0.5)
    np.testing.assert_allclose(
        found.ratio_se, 0.5 * np.sqrt((0.3 / 1) ** 2 + (0.4 / 2) ** 2)
    )


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_the_error_of_a_standard_deviation_is_that_of_arviz(correlation: float) -> None:
    import arviz
    import xarray as xr

    if find_spec("numba"):
        pytest.skip(
            "with numba arviz.mcse(method='sd') raises TypeError, which is why it isn't called"
        )
    z = np.random.default_rng(1).normal(size=(4, 300, 2, 3))
    for draw in range(1, 300):
        z[:, draw] += correlation * z[:, draw - 1]
    dims = ("chain", "draw", "observation", "latent")
    expected = arviz.mcse(xr.Dataset({"z": (dims, z)}), method="sd")["z"]
    np.testing.assert_allclose(sd_error(z), expected, rtol=1e-12)


def test_the_error_of_a_standard_deviation_is_its_spread_over_repetitions() -> None:
    z = np.random.default_rng(0).gamma(2.0, size=(4, 250, 200, 1))
    spread = z.std((0, 1)).std()
    assert abs(sd_error(z).mean() / spread - 1) < 0.15


def test_the_audit_does_without_the_function_of_arviz_that_fails_under_numba(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import arviz

    original = arviz.mcse

    def fails(*given: object, method: str = "mean", **options: object) -> object:
        if method == "sd":
            raise TypeError(
                "only 0-dimensional arrays can be converted to Python scalars"
            )
        return original(*given, method=method, **options)

    monkeypatch.setattr(arviz, "mcse", fails)
    found = tiny(TRUTH.vae(), TRUTH.sample(1))
    assert found.nuts.sd_se.shape == (1, 2)
    assert np.isfinite(found.nuts.sd_se).all()


# What is said of a row


@pytest.mark.parametrize(
    ("found", "small"),
    [
        (moments(), True),
        (moments(mean=0.19), True),
        (moments(mean=-0.21), False),
        (moments(mean=-0.21, se=0.01), True),
        (moments(sd=1.19), True),
        (moments(sd=1.21), False),
        (moments(sd=0.84), True),
        (moments(sd=0.82), False),
        (moments(sd=float("nan")), False),
    ],
)
def test_a_difference_is_small_within_its_error(found: Moments, small: bool) -> None:
    assert Difference.between(found, moments()).small.tolist() == [small]


def test_verdicts() -> None:
    good = Difference.between(moments(), moments())
    bad = Difference.between(moments(sd=0.5), moments())
    fine = Audit(
        z=np.zeros((4, 500, 1, 2)),
        r_hat=np.full((1, 2), 1.0),
        ess=np.full((1, 2), 900.0),
        divergences=np.array([0]),
        pareto_k=np.array([0.3]),
        num_particles=2000,
        nuts=moments(),
        guide=good,
        resampled=good,
        warmup_steps=500,
    )
    cases = {
        "agrees": fine,
        "agrees after resampling": replace(fine, guide=bad),
        "differs": replace(fine, guide=bad, resampled=bad),
    }
    unmixed = {
        "r_hat": np.array([[1.0, 1.02]]),
        "ess": np.array([[900.0, 300.0]]),
        "divergences": np.array([1]),
    }
    for verdict, case in cases.items():
        assert case.verdicts == [verdict]
        assert verdict in str(case).splitlines()[3]
        assert f"<td>{verdict}</td>" in case._repr_html_()
        assert repr(case) == f"Audit(rows=1: 1 {verdict})"
        for name, value in unmixed.items():
            assert replace(case, **{name: value}).verdicts == ["inconclusive"]
    assert replace(
        cases["agrees after resampling"], pareto_k=np.array([0.8])
    ).verdicts == ["differs"]
    assert replace(
        cases["agrees after resampling"], pareto_k=np.array([np.nan])
    ).verdicts == ["differs"]


def test_there_is_a_line_for_each_row_with_its_worst_dimension() -> None:
    guide = Difference(
        shift=np.array([[0.1, -0.4], [0.0, 0.0]]),
        shift_se=np.array([[0.01, 0.02], [0.03, 0.03]]),
        ratio=np.array([[0.5, 1.1], [1.0, 2.0]]),
        ratio_se=np.array([[0.04, 0.05], [0.06, 0.07]]),
    )
    two = np.ones((2, 2))
    found = Audit(
        z=np.zeros((4, 500, 2, 2)),
        r_hat=np.array([[1.0, 1.005], [1.2, 1.0]]),
        ess=np.array([[900.0, 800.0], [500.0, 600.0]]),
        divergences=np.array([0, 3]),
        pareto_k=np.array([0.3, 0.9]),
        num_particles=2000,
        nuts=Moments(two, two, two, two),
        guide=guide,
        resampled=guide,
        warmup_steps=500,
    )
    table = found.to_dataframe()
    assert table.index.tolist() == [0, 1]
    assert table["verdict"].tolist() == ["differs", "inconclusive"]
    assert table["r_hat"].tolist() == [1.005, 1.2]
    assert table["ess"].tolist() == [800.0, 500.0]
    first = table.loc[
        0, ["guide_shift", "guide_shift_se", "guide_ratio", "guide_ratio_se"]
    ]
    assert first.tolist() == [-0.4, 0.02, 0.5, 0.04]
    assert "-0.40 ± 0.02    0.50 ± 0.04" in str(found)
    assert [(total.name, total.value) for total in found.totals()] == [
        ("agrees", 0),
        ("agrees after resampling", 0),
        ("differs", 1),
        ("inconclusive", 1),
    ]


# What stays as it was


def test_nothing_is_left_behind_and_a_row_is_its_own() -> None:
    vae = VAE(
        data_shape=(4,), latent_dim=2, likelihood="bernoulli", hidden_dims=(8,)
    ).train()
    first = next(vae.parameters()).requires_grad_(False)
    x = torch.bernoulli(
        torch.full((2, 4), 0.5), generator=torch.Generator().manual_seed(1)
    )
    before = torch.get_rng_state()
    asked = [p.requires_grad for p in vae.parameters()]
    settings = pyro.settings.get()
    weights = [p.clone() for p in vae.parameters()]
    both = tiny(vae, x)
    second = tiny(vae, x[1:])
    assert (torch.get_rng_state() == before).all()
    assert pyro.settings.get() == settings
    assert vae.training
    assert [p.requires_grad for p in vae.parameters()] == asked
    assert not first.requires_grad
    assert all(
        (p == old).all() and p.grad is None
        for p, old in zip(vae.parameters(), weights, strict=True)
    )
    assert both.z.shape == (2, 4, 2, 2)
    np.testing.assert_allclose(both.z[:, :, 1:], second.z, rtol=1e-5)
    np.testing.assert_allclose(
        both.resampled.shift[1:], second.resampled.shift, rtol=1e-4
    )
    assert (
        len(np.unique(both.z[:, 0].ravel())) == 8
    )  # chains and rows have draws of their own
    assert both.to_arviz()["posterior"]["z"].dims == (
        "chain",
        "draw",
        "observation",
        "latent",
    )
    assert both.divergences.tolist() == both.diverging.sum((0, 1)).tolist()


def test_counts_of_a_model_in_float32_are_audited() -> None:
    """Their log densities are float64, which NUTS would take for its momenta too."""
    vae = VAE(data_shape=(4,), latent_dim=2, likelihood="poisson", hidden_dims=(8,))
    assert tiny(vae, torch.ones(1, 4)).z.dtype == np.float32


def test_arviz_sees_which_transition_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    third = {"divergences": {"chain 0": [2]}}
    monkeypatch.setattr(MCMC, "diagnostics", lambda self: third)
    vae = VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,))
    rows = pd.DataFrame(np.zeros((1, 4)), index=["owl"], columns=list("abcd"))
    found = tiny(vae, rows)
    tree = found.to_arviz()
    diverging = tree["sample_stats"]["diverging"]
    assert diverging.dims == ("chain", "draw", "observation")
    assert diverging.values[..., 0].tolist() == [[False, False, True, False]] * 2
    assert found.divergences.tolist() == [2]
    assert tree["posterior"]["observation"].values.tolist() == ["owl"]
    assert tree.attrs["inference_library"] == "pyro_vae"


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples: expected at least 4, got 0"),
        ({"num_chains": 1}, "num_chains: expected at least 2, got 1"),
        ({"warmup_steps": 0}, "warmup_steps: expected at least 1, got 0"),
        ({"num_particles": 0}, "num_particles: expected at least 2, got 0"),
    ],
)
def test_what_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(TRUTH.vae(), TRUTH.sample(1), **options)


def test_more_rows_than_the_cap_are_refused_with_the_cost() -> None:
    with pytest.raises(
        ValueError,
        match=r"at most max_rows = 10 rows, got 11; each takes 4,000 NUTS.*x\[:10\]",
    ):
        audit(TRUTH.vae(), TRUTH.sample(11))


def test_no_rows_and_an_autoencoder_are_refused() -> None:
    with pytest.raises(ValueError, match="x"):
        tiny(TRUTH.vae(), TRUTH.sample(1)[:0])
    with pytest.raises(ValueError, match="autoencoder"):
        tiny(
            VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta"),
            torch.zeros(1, 4),
        )


def test_rows_outside_the_support_are_refused() -> None:
    with pytest.raises(ValueError, match="x"):
        tiny(
            VAE(data_shape=(4,), latent_dim=2, likelihood="bernoulli"),
            torch.full((1, 4), 0.5),
        )


def test_rows_of_a_data_frame_keep_their_labels() -> None:
    rows = pd.DataFrame(TRUTH.sample(2).numpy(), index=["b", "a"])
    assert tiny(TRUTH.vae(), rows).to_dataframe().index.tolist() == ["b", "a"]
