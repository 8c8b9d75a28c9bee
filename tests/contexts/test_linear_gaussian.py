"""Contexts against a linear-Gaussian model whose effects, evidence and posterior are known."""

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.optim import Adam
from scipy.stats import multivariate_normal

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.analysis.marginal_likelihood.sharded import sharded_evidence
from pyro_vae.data import Selected
from pyro_vae.objectives import ELBO
from tests.contexts.linear import B, Linear, M, W, t

TRUTHS = {"prior": Linear(), "no prior": Linear(prior=False)}
every_truth = pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)


@every_truth
@pytest.mark.parametrize("missing", ["none", "at_random"])
def test_evidence_posterior_and_moments_are_exact(truth, missing):
    vae = truth.vae(missing=missing)
    x, c = truth.drawn(20)
    found = pv.evidence(vae, x, context=c, num_particles=30, progress=False)
    np.testing.assert_allclose(found.log_marginal, truth.log_marginal(x, c), atol=1e-9)
    np.testing.assert_allclose(found.elbo, found.log_marginal, atol=1e-9)
    assert set(found.method) == {"guide"}
    assert "given the context of each row" in str(found.measure)
    assert str(found).startswith("log p(x | c)")
    codes = pv.encode(vae, x, context=c)
    np.testing.assert_allclose(codes.loc, truth.posterior_mean(x, c), atol=1e-9)
    np.testing.assert_allclose(codes.scale**2, truth.variance + 0 * codes.loc)
    expected = codes.loc @ W.T + truth.mean(c) - c @ (W @ truth.M).T
    np.testing.assert_allclose(pv.reconstruct(vae, x, context=c), expected)


def test_the_rate_is_the_divergence_from_the_prior_of_the_context():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(10)
    gap = (truth.posterior_mean(x, c) - c @ M.T) / t
    ratio = truth.variance / t**2
    expected = 0.5 * (ratio + gap**2 - 1 - np.log(ratio)).sum(1)
    found = pv.analysis.rate(truth.vae(), x, context=c)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@every_truth
def test_an_inexact_guide_gives_the_evidence_within_its_errors(truth):
    vae = truth.vae()
    x, c = truth.drawn(30)
    with torch.no_grad():
        vae.posterior.family.head.bias += 0.4
    found = pv.evidence(vae, x, context=c, num_particles=400, progress=False)
    z = (found.log_marginal - truth.log_marginal(x, c)) / found.se
    assert np.abs(z).max() < 4
    assert abs(z.mean()) < 3 / np.sqrt(len(z))


def test_samples_have_the_moments_of_their_context():
    truth = TRUTHS["prior"]
    context = np.array([[1.0, -2.0, 0.5]])
    drawn = pv.sample(truth.vae(), 4000, context=context, seed=1).x
    se = np.sqrt(np.diag(truth.covariance) / len(drawn))
    assert (np.abs(drawn.mean(0) - truth.mean(context)[0]) < 4 * se).all()
    error = np.abs(np.cov(drawn.T) - truth.covariance)
    largest = np.diag(truth.covariance).max()
    assert error.max() < 5 * largest * np.sqrt(2 / len(drawn))


@pytest.mark.param_store
def test_the_programs_are_ordinary_pyro_programs():
    truth = TRUTHS["prior"]
    vae = truth.vae()
    arrays = truth.drawn(6)
    exact = truth.log_marginal(*arrays).sum()
    x, c = map(torch.tensor, arrays)
    trace = pyro.poutine.trace(vae.model).get_trace(x, c)
    log_p = trace.nodes["z"]["fn"].log_prob(trace.nodes["z"]["value"])
    mean = trace.nodes["z"]["fn"].mean.detach().numpy()
    np.testing.assert_allclose(mean, c.numpy() @ M.T, atol=1e-9)
    assert log_p.shape == trace.nodes["x"]["fn"].log_prob(x).shape == (6,)
    whole = torch.cat([x, c], -1)
    assert torch.equal(vae.model(whole), x)
    assert vae.guide(x, c).shape == vae.guide(whole).shape == (6, 2)
    drawn = Predictive(vae.model, num_samples=3)(None, c)
    assert drawn["x"].shape == (3, 6, 4)
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), Trace_ELBO(num_particles=4))
    assert svi.evaluate_loss(x, c) == pytest.approx(-exact, abs=1e-6)
    before = vae.prior.head.weight.clone()
    svi.step(x, c)
    assert not torch.equal(vae.prior.head.weight, before)


def test_a_context_without_influence_changes_no_number():
    torch.manual_seed(0)
    x, c = torch.randn(12, 4), torch.randn(12, 3)
    fields = {"data_shape": (4,), "latent_dim": 2, "hidden_dims": (5,)}
    plain = VAE(**fields)
    vae = VAE(**fields, context={"dim": 3})
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            name = name.replace("encoder.", "encoder.network.")
            wider = dict(vae.named_parameters())[name]
            wider.zero_()
            wider[tuple(slice(size) for size in weight.shape)] = weight
    expected, found = [], []
    for values, model, rows in ((expected, plain, (x,)), (found, vae, (x, c))):
        pyro.set_rng_seed(3)
        whole = torch.cat(rows, -1)
        terms = ELBO(kl="monte_carlo")(model.model, model.guide, whole)
        values += [terms.rate, terms.distortion]
    torch.testing.assert_close(found, expected)
    exact = pv.evidence(plain, x, num_particles=300, progress=False)
    same = pv.evidence(vae, x, context=c, num_particles=300, progress=False)
    error = np.hypot(exact.se, same.se)
    assert (np.abs(exact.log_marginal - same.log_marginal) < 4 * error).all()


@pytest.mark.parametrize("kind", ["array", "tensor", "memory map", "selected", "flat"])
def test_rows_and_contexts_of_any_kind_stay_together(kind, tmp_path):
    truth = TRUTHS["prior"]
    vae = truth.vae()
    x, c = truth.drawn(9)
    np.save(tmp_path / "x.npy", x)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows, context = {
        "array": (x, c),
        "tensor": (torch.tensor(x), torch.tensor(c)),
        "memory map": (on_disk, c),
        "selected": (Selected(on_disk, np.array([7, 2, 5])), c[[7, 2, 5]]),
        "flat": (np.hstack([x, c]), None),
    }[kind]
    found = pv.encode(vae, rows, context=context).loc
    expected = truth.posterior_mean(x, c)
    if kind == "selected":
        expected = expected[[7, 2, 5]]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_several_processes_share_rows_with_their_contexts():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(5)
    found = sharded_evidence(truth.vae(), x, context=c, num_particles=30)
    np.testing.assert_allclose(found.log_marginal, truth.log_marginal(x, c), atol=1e-9)


def conditional(truth, x, c):
    """E[x | observed cells, c] of each row, and the standard deviations."""
    mean, covariance = truth.mean(c), truth.covariance
    found, sd = x.copy(), np.zeros_like(x)
    for row in range(len(x)):
        m = np.isnan(x[row])
        o = ~m
        gain = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        found[row, m] = mean[row, m] + gain @ (x[row, o] - mean[row, o])
        rest = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
        sd[row, m] = np.sqrt(np.diag(rest))
    return found, sd


@pytest.mark.parametrize("empty", [False, True], ids=["some cells", "no cell"])
def test_missing_cells_have_the_moments_given_the_context(empty):
    truth = TRUTHS["prior"]
    x, c = truth.drawn(6)
    x[np.arange(6), np.arange(6) % 4] = np.nan
    x[:3, 3] = np.nan
    if empty:
        x[:] = np.nan
    vae = truth.vae(missing="at_random")
    found = pv.impute(vae, x, context=c, num_particles=2000, progress=False)
    mean, sd = conditional(truth, x, c)
    cells = found.to_dataframe()
    which = np.isnan(x)
    assert (np.abs(cells["value"] - mean[which]) < 0.15 * sd[which]).all()
    np.testing.assert_allclose(cells["sd"], sd[which], rtol=0.1)


def test_columns_are_predicted_given_the_context():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(6)
    vae = truth.vae(missing="at_random")
    how = {"num_particles": 2000, "progress": False}
    found = pv.predict(vae, x, columns=[3, 1], context=c, **how)
    x[:, [1, 3]] = np.nan
    mean, sd = conditional(truth, x, c)
    for column in (1, 3):
        error = np.abs(found[f"{column}"] - mean[:, column])
        assert (error < 0.15 * sd[:, column]).all()
        np.testing.assert_allclose(found[f"{column}[sd]"], sd[:, column], rtol=0.1)


def test_densities_of_columns_are_given_the_context():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(4)
    vae = truth.vae(missing="at_random")
    how = {"context": c, "columns": [0, 2], "num_particles": 500, "progress": False}
    found = pv.evidence(vae, x, **how)
    part = [0, 2]
    residual = x[:, part] - truth.mean(c)[:, part]
    covariance = truth.covariance[np.ix_(part, part)]
    expected = multivariate_normal(np.zeros(2), covariance).logpdf(residual)
    assert (np.abs(found.log_marginal - expected) < 4 * found.se + 1e-6).all()


def test_draws_for_arviz_have_their_contexts():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(3)
    tree = pv.to_arviz(truth.vae(), x, context=c, num_samples=400)
    for position in range(3):
        constant = tree["constant_data"][f"c[{position}]"]
        np.testing.assert_allclose(constant, c[:, position])
    log_weight = tree["sample_stats"]["log_weight"].values[0]
    np.testing.assert_allclose(log_weight.mean(0), truth.log_marginal(x, c), atol=1e-6)
    prior = tree["prior"]["z"].values[0]
    assert (np.abs(prior.mean(0) - c @ M.T) < 5 * t / 20).all()


@pytest.mark.slow
def test_fitted_effects_are_the_true_ones_within_their_errors():
    truth = TRUTHS["no prior"]
    x, c = truth.drawn(500)
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        hidden_dims=(),
        context={"dim": 3, "prior": False},
    )
    rows = x.astype(np.float32)
    pv.fit(vae, rows, context=c, epochs=300, lr=5e-3, validation=None, progress=False)
    effects = vae.likelihood.decoder[1].weight[:, 2:].detach().numpy()
    effects = effects / vae.model.features.std.numpy()
    design = np.hstack([np.ones((500, 1)), c])
    inverse = np.linalg.inv(design.T @ design)
    unit = vae.likelihood.family
    scale = np.sqrt(np.outer(np.diag(truth.covariance), np.diag(inverse)[1:]))
    location = unit(torch.zeros(1, 4)).mean, unit(torch.ones(1, 4)).mean
    units = (
        (location[1] - location[0]).detach().numpy()[0]
    )  # outputs are in these units
    assert (np.abs(units[:, None] * effects - B) < 3.5 * scale).all()
    x_new, c_new = truth.drawn(500, seed=1)
    found = pv.evidence(vae, x_new.astype(np.float32), context=c_new, progress=False)
    gap = truth.log_marginal(x_new, c_new) - found.log_marginal
    # some 25 parameters cost about half a nat each over the rows, here and where they were fitted
    assert gap.mean() < 25 / len(x) + 3 * gap.std() / np.sqrt(len(gap))
