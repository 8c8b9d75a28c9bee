"""The tools of the analysis given a context, against the linear-Gaussian truth."""

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae import analysis
from tests.contexts.linear import Linear
from tests.labels.models import (
    exact_log_joint,
    exact_log_marginal,
    labels,
    linear_vae,
    rows,
)

TRUTHS = {"prior": Linear(), "no prior": Linear(prior=False)}
every_truth = pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)


def rates(truth, x, c):
    """KL(q(z | x, c) ‖ p(z | c)) of each row, where q is the posterior."""
    gap = (truth.posterior_mean(x, c) - c @ truth.M.T) / truth.t
    ratio = truth.variance / truth.t**2
    return 0.5 * (ratio + gap**2 - 1 - np.log(ratio)).sum(1)


def shifted(truth, by=0.4):
    """The model with a guide whose mean is off by that much."""
    vae = truth.vae()
    with torch.no_grad():
        vae.posterior.family.head.bias[:2] += by
    return vae


@every_truth
def test_the_latent_space_is_used_as_far_as_c_does_not_say_it(truth):
    x, c = truth.drawn(200)
    found = analysis.latent_use(truth.vae(), x, context=c, progress=False)
    assert found.rate == pytest.approx(rates(truth, x, c).mean(), rel=1e-9)
    u = (truth.posterior_mean(x, c) - c @ truth.M.T) / truth.t
    np.testing.assert_allclose(found.mean, u.mean(0), atol=1e-9)
    np.testing.assert_allclose(found.variance, u.var(0))
    np.testing.assert_allclose(found.prior_mean, 0.0)
    np.testing.assert_allclose(found.prior_scale, 1.0)
    exact = 0.5 * np.log(truth.t**2 / truth.variance).sum()  # I(x; z | c)
    assert found.information - 3 * found.information_se < exact
    assert exact < found.information_upper + 3 * found.information_upper_se


@pytest.mark.slow
@every_truth
def test_gaps_are_those_of_the_shift(truth):
    x, c = truth.drawn(5)
    how = {"steps": 60, "num_particles": 300, "progress": False}
    found = pv.inference_gaps(shifted(truth), x, context=c, **how)
    error = np.abs(found.log_marginal - truth.log_marginal(x, c))
    assert (error < 4 * found.log_marginal_se + 1e-6).all()
    exact = 0.5 * (0.4**2 / truth.variance).sum()
    within = 4 * found.amortization_gap_se + 0.02
    assert (np.abs(found.amortization_gap - exact) < within).all()
    within = 4 * found.approximation_gap_se + 0.01
    assert (np.abs(found.approximation_gap) < within).all()


def test_gaps_take_the_evidence_of_the_same_contexts():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(3)
    how = {"steps": 4, "num_particles": 2, "progress": False}
    exact = pv.evidence(truth.vae(), x, context=c, num_particles=30, progress=False)
    found = pv.inference_gaps(truth.vae(), x, context=c, marginal=exact, **how)
    np.testing.assert_allclose(found.approximation_gap, 0.0, atol=1e-9)
    with pytest.raises(
        ValueError, match=r"^marginal: expected log p\(x\) of these rows"
    ):
        pv.inference_gaps(truth.vae(), x, context=c + 1, marginal=exact, **how)


@every_truth
def test_ranks_are_uniform_where_the_guide_is_the_posterior(truth):
    c = truth.drawn(40)[1]
    how = {"context": c, "num_rows": 400, "num_samples": 19, "progress": False}
    exact = analysis.calibration(truth.vae(), **how)
    assert exact.rank.shape == (400, 2)
    assert (exact.p_values > 1e-3).all()
    assert (analysis.calibration(shifted(truth), **how).p_values < 1e-3).all()


def test_rows_are_drawn_for_the_contexts_in_turn():
    truth = TRUTHS["prior"]
    c = 30.0 * np.eye(3)[:2]
    how = {"num_rows": 5, "num_chains": 4, "temperatures": 20, "progress": False}
    found = analysis.bidirectional(truth.vae(), context=c, **how)
    np.testing.assert_array_equal(found.context, c[[0, 1, 0, 1, 0]])
    sd = np.sqrt(np.diag(truth.covariance))
    assert (np.abs(found.x - truth.mean(found.context)) < 5 * sd).all()
    exact = truth.log_marginal(found.x, found.context)
    assert (found.lower - 4 * found.lower_se - 0.1 < exact).all()
    assert (exact < found.upper + 4 * found.upper_se + 0.1).all()
    with pytest.raises(ValueError, match=r"^context: expected shape \(n, 3\)"):
        analysis.bidirectional(truth.vae(), context=c[:, :2], **how)


@pytest.mark.slow
@every_truth
@pytest.mark.parametrize("start", ["prior", "guide"])
def test_annealed_evidence_is_exact(truth, start):
    x, c = truth.drawn(6)
    how = {"num_chains": 8, "temperatures": 50, "start": start, "progress": False}
    found = analysis.annealed(shifted(truth), x, context=c, **how)
    error = np.abs(found.log_marginal - truth.log_marginal(x, c))
    assert (error < 4 * found.se + 0.05).all()


def test_annealed_evidence_sums_over_unknown_labels():
    vae, x, label = linear_vae(), rows(), labels()
    how = {"num_chains": 16, "temperatures": 60, "progress": False}
    found = analysis.annealed(vae, x, context=label, **how)
    exact = exact_log_marginal(exact_log_joint(vae, x), label[:, 0])
    assert (np.abs(found.log_marginal - exact) < 4 * found.se + 0.05).all()
    assert len(found.row_hashes) == len(found.ess) == len(x)


@pytest.mark.slow
@every_truth
def test_scores_and_shares_are_those_given_the_context(truth):
    x, c = truth.drawn(8)
    how = {"num_particles": 50, "num_samples": 300, "progress": False}
    vae = truth.vae()
    found = pv.anomaly(vae, x, context=c, reference=truth.drawn(30, seed=1), **how)
    np.testing.assert_allclose(found.log_marginal, truth.log_marginal(x, c), atol=1e-9)
    reference = truth.log_marginal(*truth.drawn(30, seed=1))
    np.testing.assert_allclose(found.reference, reference, atol=1e-9)
    # log p(x | c) = Σᵢ E log p(xᵢ | z, c) - KL(p(z | x, c) ‖ p(z | c))
    total = truth.log_marginal(x, c) + rates(truth, x, c)
    se = np.sqrt(np.square(found.share_se).sum(1))
    assert (np.abs(found.shares.sum(1) - total) < 5 * se).all()


def test_reference_rows_have_contexts_too():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(3)
    message = r"^context of reference: .* pass a pair, reference=\(rows, contexts\)"
    with pytest.raises(ValueError, match=message):
        pv.anomaly(truth.vae(), x, context=c, reference=x)


def test_probabilities_of_categories_follow_the_context():
    likelihood = {"kind": "categorical", "num_classes": 3}
    fields = {"data_shape": (2,), "latent_dim": 1, "hidden_dims": ()}
    vae = pv.VAE(**fields, likelihood=likelihood, context={"dim": 1, "prior": False})
    c = torch.tensor([[0.0], [1.0], [2.0]])
    found = analysis.class_probabilities(vae, torch.zeros(3, 2), context=c)
    given = vae.given(c)
    logits = given.likelihood(given.posterior(torch.zeros(3, 2)).mean)
    expected = logits.pyro_vae_probabilities()[1].detach().numpy()
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)
    assert np.ptp(found[1][:, 0]) > 1e-4


@pytest.mark.slow
def test_chains_find_the_posterior_given_the_context():
    truth = TRUTHS["prior"]
    x, c = truth.drawn(2)
    how = {"num_chains": 2, "num_samples": 300, "warmup_steps": 200, "progress": False}
    found = pv.audit(shifted(truth), x, context=c, **how)
    u = (truth.posterior_mean(x, c) - c @ truth.M.T) / truth.t
    assert (np.abs(found.nuts.mean - u) < 5 * found.nuts.mean_se).all()
    sd = np.sqrt(truth.variance) / truth.t
    assert (np.abs(found.nuts.sd - sd) < 5 * found.nuts.sd_se).all()
    off = 0.4 / np.sqrt(truth.variance)
    assert (np.abs(found.guide.shift - off) < 5 * found.guide.shift_se).all()
    assert (np.abs(found.resampled.shift) < 5 * found.resampled.shift_se).all()
