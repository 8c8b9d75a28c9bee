"""Counts whose size is the total of the row itself."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import pyro_vae as pv
from pyro_vae import VAE, compare, fit, reconstruct
from pyro_vae.analysis.outliers.columns import column_log_prob
from pyro_vae.likelihoods.base import given
from tests.likelihoods.families import SIZED, TOTALS, build, outputs
from tests.likelihoods.test_scipy import factor, inflated, nbinom

TOTAL = {"size_factor": "total"}
KINDS = [
    "poisson",
    "negative_binomial",
    "zero_inflated_poisson",
    "zero_inflated_negative_binomial",
]
X = SIZED[:9, :3].numpy()
S = X.sum(1, keepdims=True)
ORACLES = {
    "poisson": lambda r: stats.poisson.logpmf(X, S * factor(r)),
    "negative_binomial": lambda r: nbinom(X, S * factor(r), 0.4),
    "zero_inflated_poisson": lambda r: inflated(
        X, r[:, 1], stats.poisson.logpmf(X, S * factor(r[:, 0]))
    ),
    "zero_inflated_negative_binomial": lambda r: inflated(
        X, np.log(0.1) + r[:, 1], nbinom(X, S * factor(r[:, 0]), 0.4)
    ),
}


def described(kind: str) -> dict:
    fixed = {"dispersion": 0.4} if kind.endswith("negative_binomial") else {}
    return {"kind": kind, **TOTAL, **fixed}


def fitted(kind: str, **fields) -> VAE:
    likelihood = {"kind": kind, **TOTAL}
    vae = VAE(
        data_shape=(3,),
        latent_dim=1,
        hidden_dims=(4,),
        likelihood=likelihood,
        **fields,
    )
    fit(vae, SIZED[:, :3], epochs=1, validation=None, progress=False)
    return vae


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_the_total_of_the_row(kind):
    assert (S > 0).all()
    built = build(described(kind), (3,))
    raw = outputs(built, 9, seed=4, size=1.0)
    p = built(raw)
    expected = ORACLES[kind](raw.numpy())
    x = torch.as_tensor(X)
    np.testing.assert_allclose(p.log_prob(x), expected.sum(1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(column_log_prob(p, x), expected, rtol=1e-6, atol=1e-6)


def test_the_total_of_an_image_is_over_all_pixels():
    rows = TOTALS[:5]
    row = build({"kind": "poisson", **TOTAL}, (2, 2))(torch.zeros(2, 2).double())
    expected = stats.poisson.logpmf(rows, rows.sum((1, 2), keepdim=True))
    np.testing.assert_allclose(row.log_prob(rows), expected.sum((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("total", [0, 1, 6])
def test_rows_of_a_total_have_the_probability_of_the_total(total):
    """Poisson: P(total = n | s = n), which is 1 for an empty row and less for others."""
    built = build({"kind": "poisson", **TOTAL}, (3,))
    raw = outputs(built, 1, seed=2)[0] - 0.5
    rows = [x for x in itertools.product(range(total + 1), repeat=3) if sum(x) == total]
    found = built(raw).log_prob(torch.tensor(rows, dtype=torch.float64)).exp().sum()
    rate = total * factor(raw.numpy()).sum()
    assert float(found) == pytest.approx(stats.poisson.pmf(total, rate), rel=1e-6)
    assert float(found) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_total_has_more_than_probability_one(kind):
    built = build(described(kind), (2,))
    raw = outputs(built, 1, seed=3)[0]
    for total in (0, 1, 5, 40):
        first = torch.arange(total + 1, dtype=torch.float64)
        rows = torch.stack([first, total - first], 1)
        mass = float(built(raw).log_prob(rows).exp().sum())
        assert mass <= 1 + 1e-12
        assert total > 0 or mass == pytest.approx(1, abs=1e-12)


def test_it_is_at_most_the_multinomial_of_the_same_rates():
    """Poisson given its total: log p is lower by -log P(total), as the docstring has it."""
    raw = torch.tensor([0.2, -1.0, 0.4]).double()
    x = torch.as_tensor(X)
    rates = factor(raw.numpy())
    one = build({"kind": "poisson", **TOTAL}, (3,))(raw).log_prob(x)
    other = build({"kind": "multinomial"}, (3,))(torch.as_tensor(np.log(rates)))
    gap = stats.poisson.logpmf(S[:, 0], S[:, 0] * rates.sum())
    most = other.log_prob(x)
    np.testing.assert_allclose(one, most.numpy() + gap, rtol=0, atol=1e-6)
    assert (one < most).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_the_share_of_each_count(kind):
    built = build({"kind": kind, **TOTAL}, (3,))
    vae = VAE(data_shape=(3,), latent_dim=1, likelihood={"kind": kind, **TOTAL})
    fit(vae, SIZED[:, :3], epochs=1, validation=None, progress=False)
    mean = vae.likelihood.independent().mean
    expected = SIZED[:, :3].mean(0)
    torch.testing.assert_close(mean, expected.to(mean), rtol=1e-5, atol=0)
    assert float(built.size.typical) == 1


def test_a_reconstruction_has_the_scale_of_its_row():
    vae = fitted("poisson")
    rows = np.array([[4.0, 9.0, 2.0], [400.0, 900.0, 200.0]])
    with torch.no_grad():
        x = torch.as_tensor(rows).float()
        z = vae.posterior(x).mean
        rates = vae.likelihood(z).counts(torch.ones(()))
    found = reconstruct(vae, rows)
    expected = rates.mean * x.sum(1, keepdim=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    typical = float(SIZED[:, :3].sum(1).mean())
    assert float(vae.likelihood.family.size.typical) == pytest.approx(typical)


def test_predictive_draws_have_the_size_of_their_row():
    torch.manual_seed(0)
    built = build({"kind": "poisson", **TOTAL}, (3,))
    rows = torch.tensor([[1.0, 2.0, 0.0], [0.0, 100.0, 200.0], [0.0, 0.0, 0.0]])
    p = given(built(torch.zeros(3, 3)), rows)
    np.testing.assert_allclose(p.mean[:, 0], [3, 300, 0], atol=1e-6)
    drawn = p.sample((2000,))
    np.testing.assert_allclose(drawn.mean(0)[:, 0], [3, 300, 0], atol=2)
    assert not drawn[:, 2].any()


def test_only_models_of_the_same_total_are_compared():
    models = {"total": fitted("poisson")}
    for name in ("multinomial", "poisson"):
        vae = VAE(data_shape=(3,), latent_dim=1, hidden_dims=(4,), likelihood=name)
        fit(vae, SIZED[:, :3], epochs=1, validation=None, progress=False)
        models[name] = vae
    rows = SIZED[:4, :3]
    both = {name: models[name] for name in ("total", "multinomial")}
    assert set(compare(both, rows, num_particles=5).names) == set(both)
    with pytest.raises(ValueError, match="given the total of each row, and mass"):
        compare(models, rows, num_particles=5)


def test_a_total_needs_several_counts_that_are_all_there():
    with pytest.raises(ValueError, match=r"at least 2 of them, got data_shape \(1,\)"):
        build({"kind": "poisson", **TOTAL}, (1,))
    build({"kind": "poisson"}, (1,))  # the remedy
    vae = VAE(
        data_shape=(3,),
        latent_dim=1,
        likelihood={"kind": "poisson", **TOTAL},
        missing="at_random",
    )
    rows = SIZED[:8, :3].clone()
    rows[1, 2] = torch.nan
    with pytest.raises(ValueError, match="all cells of the counts of a total or none"):
        fit(vae, rows, epochs=1, validation=None)
    rows[1] = torch.nan
    with pytest.warns(UserWarning, match="no observed cell"):
        fit(vae, rows, epochs=1, validation=None, progress=False)
    with torch.no_grad():
        p = vae.likelihood(torch.zeros(8, 1))
        assert float(p.log_prob(rows.float())[1]) == 0


def test_it_is_the_same_after_saving(tmp_path: Path):
    vae = fitted("negative_binomial")
    pv.save(vae, tmp_path / "model")
    other = pv.load(tmp_path / "model")
    rows = SIZED[:4, :3]
    for question in (reconstruct, lambda *args: pv.sample(args[0], 5, seed=1).x):
        np.testing.assert_array_equal(question(other, rows), question(vae, rows))


def test_a_context_is_beside_the_counts_and_not_in_the_total():
    context = {"dim": 1, "prior": False}
    vae = VAE(
        data_shape=(3,),
        latent_dim=1,
        hidden_dims=(4,),
        likelihood={"kind": "poisson", **TOTAL},
        context=context,
    )
    rows = SIZED[:, :3]
    batch = 1000 * (torch.arange(len(rows)) % 2).unsqueeze(1).float()
    fit(vae, rows, context=batch, epochs=1, validation=None, progress=False)
    with torch.no_grad():
        parts = vae.given(batch)
        p = parts.likelihood(parts.posterior(rows.float()).mean)
        expected = p.counts(rows.float().sum(1, keepdim=True)).mean
    found = reconstruct(vae, rows, context=batch)
    np.testing.assert_allclose(found[:9], expected[:9], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["poisson", "zero_inflated_negative_binomial"])
def test_the_compiled_step_is_the_plain_one(kind):
    plain, compiled = (
        VAE(data_shape=(3,), latent_dim=1, likelihood={"kind": kind, **TOTAL})
        for _ in range(2)
    )
    rows = SIZED[:, :3]
    options = {"epochs": 3, "validation": None, "progress": False, "seed": 0}
    first = fit(plain, rows, compile="off", **options)
    second = fit(compiled, rows, compile="step", **options)
    losses = [[row["loss"] for row in run.history] for run in (first, second)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
