"""Random effects against a linear mixed model whose evidence and posterior are known."""

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO
from pyro.optim import Adam
from scipy.stats import norm

import pyro_vae as pv
from pyro_vae.inputs import model_rows
from pyro_vae.objectives import ELBO, IWAE, Renyi
from tests.effects.linear import (
    COVARIANCE,
    LEVELS,
    SLOPE,
    drawn,
    exact_vae,
    log_given,
    log_marginal,
    posterior,
    s,
    without_effects,
)

FRAME, _ = drawn()
NUMBER = FRAME["batch"].map(LEVELS.index).to_numpy()
NO_DRAWS = [
    ELBO(kl="monte_carlo"),
    ELBO(kl="monte_carlo", num_particles=3),
    ELBO(gradient="stl"),
    IWAE(num_particles=4),
    Renyi(num_particles=3),
]
"""Objectives whose loss no draw of z changes, where q(z | x, c, u) is the posterior."""


@pytest.fixture(scope="module")
def vae():
    return exact_vae(FRAME)


@pytest.fixture(scope="module")
def refined():
    """The same with the guide that refines, which leaves an exact posterior where it is."""
    return exact_vae(FRAME, guide="semi_amortized")


@pytest.fixture(scope="module")
def rows(vae):
    return next(model_rows(vae, FRAME).batches(100))


@pytest.mark.param_store
@pytest.mark.parametrize("particles", [1, 5])
@pytest.mark.parametrize("guide", ["vae", "refined"])
def test_pyros_elbo_is_the_evidence_of_all_rows(guide, rows, particles, request):
    vae = request.getfixturevalue(guide)
    how = {"num_particles": particles, "vectorize_particles": True}
    elbo = Trace_ELBO(**how, max_plate_nesting=1)
    x, context = vae.model.split(rows)
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), elbo)
    expected = -log_marginal(FRAME)
    assert svi.evaluate_loss(x, context) == pytest.approx(expected, abs=1e-6)


@pytest.mark.param_store
def test_pyro_learns_the_effects(rows):
    vae = exact_vae(FRAME, context={"columns": {"batch": "random_effect", "age": None}})
    x, context = vae.model.split(rows)
    before = [one.clone() for one in (*vae.guide.effects.parameters(), *scales(vae))]
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), TraceMeanField_ELBO())
    svi.step(x, context)
    after = [*vae.guide.effects.parameters(), *scales(vae)]
    assert len(after) == 3
    assert not any(map(torch.equal, before, after))


def scales(vae):
    return list(vae.model.effects.parameters())


def test_the_full_batch_is_pyros_mean_field_elbo(vae, rows):
    x, context = vae.model.split(rows)
    torch.manual_seed(0)
    with torch.no_grad():
        terms = ELBO()(vae.model, vae.guide, rows)
    torch.manual_seed(0)
    with pyro.settings.context(module_local_params=True):
        expected = TraceMeanField_ELBO().loss(vae.model, vae.guide, x, context)
    assert float(terms.loss.sum()) == pytest.approx(expected, rel=1e-12)
    assert terms.kl == {"z": "analytic", "effect_batch": "analytic"}


def divergence():
    """KL(q(u) ‖ p(u)) of all levels."""
    mean, sd = posterior(FRAME)
    ratio = np.square(sd / s)
    return 0.5 * (ratio + np.square(mean / s) - 1 - np.log(ratio)).sum()


@pytest.mark.parametrize("objective", NO_DRAWS, ids=str)
def test_batches_of_any_size_have_the_loss_of_all_rows(vae, rows, objective):
    vae.model.effects.rows.fill_(len(rows))
    totals = []
    for size in (len(rows), 5, 1):
        terms = []
        for batch in rows.split(size):
            torch.manual_seed(0)  # the same effects, which are drawn first
            with torch.no_grad():
                terms.append(objective(vae.model, vae.guide, batch))
        totals.append([float(torch.cat([one.loss for one in terms]).sum())])
        totals[-1].append(-float(torch.cat([one.elbo for one in terms]).sum()))
    vae.model.effects.rows.fill_(0)
    torch.manual_seed(0)
    u = vae.guide.effects.sampled(1)[0].detach().numpy()[NUMBER, 0]
    expected = divergence() - log_given(FRAME, u).sum()
    np.testing.assert_allclose(totals, expected, atol=1e-6)


def test_the_closed_form_weighs_the_divergence_by_beta(vae, rows):
    losses = []
    for beta in (0.0, 1.0):
        torch.manual_seed(0)
        with torch.no_grad():
            terms = ELBO(kl="analytic")(vae.model, vae.guide, rows, beta)
        losses.append(float(terms.loss.sum()))
    assert losses[1] - losses[0] == pytest.approx(float(terms.rate.sum()), rel=1e-9)
    assert float(terms.rate.sum()) > divergence()


def test_known_levels_are_at_their_posterior_means(vae):
    mean, sd = posterior(FRAME)
    found = pv.evidence(vae, FRAME, num_particles=100, progress=False)
    expected = log_given(FRAME, mean[NUMBER])
    assert (np.abs(found.log_marginal - expected) < 4 * found.se + 1e-6).all()
    answer = pv.random_effects(vae)
    np.testing.assert_allclose(answer.mean, mean, atol=1e-9)
    np.testing.assert_allclose(answer.sd, sd, rtol=1e-6)
    assert answer.scales == {"batch": pytest.approx(s)}


def test_a_new_level_has_the_density_of_the_prior(vae):
    frame = FRAME.assign(batch=["k1", "new", *FRAME["batch"][2:-1], "other"])
    found = pv.evidence(vae, frame, num_particles=2000, progress=False)
    mean, _ = posterior(FRAME)
    expected = log_given(FRAME, mean[[1, *NUMBER[1:]]])
    of_new = log_given(FRAME, np.zeros(len(FRAME)), variance=s**2)
    expected[[1, -1]] = of_new[[1, -1]]
    error = np.abs(found.log_marginal - expected)
    assert (error < 4 * found.se + 1e-6).all()
    assert found.se.max() < 0.03
    codes = pv.encode(vae, frame)
    assert codes.loc.shape == (len(frame), 1)


def test_the_tools_have_the_density_of_a_new_level(vae):
    frame = FRAME[:3].assign(batch=["k1", "new", "k2"])
    known = frame.assign(batch=["k1", "k0", "k2"])
    expected = pv.evidence(vae, frame, num_particles=4000, progress=False).log_marginal
    few = {"num_chains": 32, "temperatures": 60, "progress": False}
    annealed = pv.annealed(vae, frame, **few)
    error = np.abs(annealed.log_marginal - expected)
    assert (error < 4 * annealed.se + 0.05).all()
    how = {"steps": 60, "num_particles": 400, "progress": False}
    gaps = pv.inference_gaps(vae, frame, **how)
    within = 4 * gaps.log_marginal_se + 0.05
    assert (np.abs(gaps.log_marginal - expected) < within).all()
    shares = pv.anomaly(vae, frame, num_particles=50, progress=False).shares
    of_known = pv.anomaly(vae, known, num_particles=50, progress=False).shares
    np.testing.assert_allclose(shares[[0, 2]], of_known[[0, 2]], atol=0.1)
    drawn = pv.bidirectional(vae, context=frame, num_rows=3, **few)
    simulated = frame.assign(x=drawn.x[:, 0], y=drawn.x[:, 1])
    exact = pv.evidence(vae, simulated, num_particles=4000, progress=False)
    assert (drawn.lower - 4 * drawn.lower_se - 0.1 < exact.log_marginal).all()
    assert (exact.log_marginal < drawn.upper + 4 * drawn.upper_se + 0.1).all()


def test_samples_of_a_new_level_have_the_moments_of_the_prior(vae):
    found = pv.sample(vae, 4000, context={"batch": "new", "age": 1.5}, seed=1)
    covariance = COVARIANCE + s**2 * np.outer(SLOPE, SLOPE)
    se = np.sqrt(np.diag(covariance) / len(found))
    mean = without_effects(np.array([1.5]))[0]
    assert (np.abs(found.to_numpy().mean(0) - mean) < 4 * se).all()
    error = np.abs(np.cov(found.to_numpy().T) - covariance)
    assert error.max() < 5 * covariance.max() * np.sqrt(2 / len(found))
    known = pv.sample(vae, 4000, context={"batch": "k3", "age": 1.5}, seed=1)
    np.testing.assert_allclose(np.cov(known.to_numpy().T), COVARIANCE, atol=0.1)


@pytest.mark.slow
def test_transfer_to_a_new_level_has_its_spread(vae):
    rows = FRAME[:4]
    how = {"num_particles": 2000, "num_draws": 1000, "progress": False}
    new = pv.transfer(vae, rows, to={"batch": "new"}, **how)
    known = pv.transfer(vae, rows, to={"batch": "k0"}, **how)
    # u of the prior mean and of the residual stay: what is new is u' alone
    added = (new.draws.var(0) - known.draws.var(0)).mean(0)
    np.testing.assert_allclose(added, s**2 * SLOPE**2, rtol=0.1, atol=0.03)
    mean, _ = posterior(FRAME)
    expected = -mean[NUMBER[:4], None] * SLOPE
    np.testing.assert_allclose(new.effects, expected, atol=0.15)


@pytest.mark.slow
@pytest.mark.param_store
def test_prior_and_posterior_predictive_draws_of_pyro(vae, rows):
    _, context = vae.model.split(rows)
    drawn = Predictive(vae.model, num_samples=500)(None, context)
    effects = drawn["effect_batch"][:, 0, :, 0].numpy()
    assert effects.shape == (500, len(LEVELS) + 1)
    assert abs(effects.std() / s - 1) < 5 / np.sqrt(2 * effects.size)
    within = drawn["x"].numpy() - without_effects(FRAME["age"].to_numpy())
    slopes = [np.polyfit(effects[:, 1], within[:, i, 0], 1)[0] for i in range(12)]
    of_own = np.array(slopes)[NUMBER == 1]
    np.testing.assert_allclose(of_own, SLOPE[0], atol=0.2)


def test_an_interval_covers_its_share(vae):
    answer = pv.random_effects(vae)
    low, high = answer.interval(0.8)
    inside = norm.cdf(high, answer.mean, answer.sd) - norm.cdf(
        low, answer.mean, answer.sd
    )
    np.testing.assert_allclose(inside, 0.8)
    frame = answer.to_dataframe()
    assert frame["level"].tolist() == LEVELS
    assert "s of batch  1.300" in str(answer)
    with pytest.raises(
        ValueError, match=r"^level: expected a number between 0 and 1, got 2"
    ):
        answer.interval(2)
