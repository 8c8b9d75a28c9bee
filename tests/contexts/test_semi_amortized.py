"""The guide "semi_amortized" of rows with contexts: its steps are those of log p(x, z | c)."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

import pyro_vae as pv
from pyro_vae import VAE
from tests.contexts.linear import Linear

ROWS = 20


def given(prior, **options):
    """The truth, a model of it whose guide refines, and rows with their contexts and posterior."""
    truth = Linear(prior=prior)
    vae = truth.vae(guide={"kind": "semi_amortized", **options})
    x, c = truth.drawn(ROWS)
    mean = torch.tensor(truth.posterior_mean(x, c))
    scale = torch.tensor(np.sqrt(truth.variance)).expand_as(mean)
    return vae, torch.tensor(x), torch.tensor(c), Normal(mean, scale)


def shifted(vae):
    """The model with an encoder that is wrong by one in all means, and too wide."""
    with torch.no_grad():
        vae.posterior.family.base.head.bias.add_(1.0)
    return vae


def distance(q, exact):
    """KL(q ‖ p(z | x, c)) of each row."""
    return kl_divergence(Normal(q.mean, q.stddev), exact).sum(-1)


@pytest.mark.parametrize("prior", [True, False])
def test_the_exact_posterior_stays(prior):
    vae, x, c, exact = given(prior)
    with torch.no_grad():
        assert distance(vae.given(c).posterior(x), exact).max() < 1e-9


@pytest.mark.parametrize("prior", [True, False])
def test_the_steps_lead_to_the_posterior_of_the_context(prior):
    vae, x, c, exact = given(prior, steps=60, lr=0.5)
    with torch.no_grad():
        q = shifted(vae).given(c).posterior(x)
    torch.testing.assert_close(q.mean, exact.mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(q.stddev, exact.stddev, rtol=1e-4, atol=0)


def test_without_steps_it_is_the_guide_that_it_wraps():
    vae, x, c, _ = given(True)
    plain = shifted(vae).posterior.family.base
    features = vae.posterior.encoder(vae.posterior.standardize(x), c)
    family = vae.posterior.family
    family.points = family.points[:0]
    refined = vae.given(c).posterior(x)
    assert torch.equal(refined.mean, plain(features).mean)
    assert torch.equal(refined.stddev, plain(features).stddev)


def test_each_step_raises_the_elbo_of_every_row():
    """log p(x | c) is the same for all q, so that the ELBO rises by what KL(q ‖ p) falls."""
    vae, x, c, exact = given(True)
    shifted(vae)
    family = vae.posterior.family
    points, left = family.points, []
    for steps in range(len(points) + 1):
        family.points = points[:steps]
        with torch.no_grad():
            left.append(distance(vae.given(c).posterior(x), exact))
    assert (torch.stack(left).diff(dim=0) < 0).all()


def test_evidence_of_the_refined_proposal():
    vae, x, c, _ = given(True)
    how = {"context": c, "num_particles": 100, "progress": False}
    found = pv.evidence(shifted(vae), x, proposal="guide", **how)
    exact = Linear().log_marginal(x.numpy(), c.numpy())
    error = np.sqrt((found.se**2).sum()) / ROWS
    assert abs((found.log_marginal - exact).mean()) < 3 * error < 0.1


class Echo(nn.Module):
    """A prior of one's own, made of q(z | x, c) at learned rows and a fixed context."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(3, 4))

    def pyro_vae_bind_programs(self, model, guide):
        self.programs = (model, guide)

    def forward(self):
        q = self.programs[1].q_z(self.rows, torch.ones(3, 2))
        return Independent(Normal(q.mean.mean(0), 1.0), 1)


@pytest.mark.parametrize("guide", ["mean_field", "semi_amortized"])
def test_a_prior_of_ones_own_that_calls_the_guide(guide):
    """While the guide refines, such a prior has what is proposed."""
    context = {"dim": 2, "prior": False}
    fields = {"data_shape": (4,), "latent_dim": 2, "hidden_dims": (3,)}
    vae = VAE(prior=Echo(), guide=guide, context=context, **fields)
    mean = vae.given(torch.ones(3, 2)).posterior(vae.prior.rows).mean.mean(0)
    torch.testing.assert_close(vae.prior().mean, mean)
    assert (
        vae.given(torch.zeros(5, 2)).posterior(torch.zeros(5, 4)).mean.isfinite().all()
    )
