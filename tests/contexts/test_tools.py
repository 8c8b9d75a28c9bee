"""The tools of the analysis given a context, against the linear-Gaussian truth."""

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae import analysis
from tests.contexts.linear import Linear

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
