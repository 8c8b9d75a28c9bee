"""Independent normals, learned."""

import numpy as np
import torch
from scipy.stats import norm
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_vae import ELBO, fit
from pyro_vae.objectives import analytic_kl
from pyro_vae.priors import Normal
from tests.priors.families import ROWS, build

Z = np.random.default_rng(0).normal(size=(6, 2))


def test_it_starts_at_the_standard_normal() -> None:
    found = Normal(2).double()().log_prob(torch.tensor(Z))
    np.testing.assert_allclose(found.detach(), norm.logpdf(Z).sum(1), rtol=1e-6)


def test_the_density_is_that_of_scipy() -> None:
    prior = build("normal").double().prior
    loc = prior.loc.detach().numpy()
    scale = prior.scale().detach().numpy()
    assert (scale > 0).all()
    assert len(set(scale)) == 2
    found = prior().log_prob(torch.tensor(Z))
    np.testing.assert_allclose(
        found.detach(), norm.logpdf(Z, loc, scale).sum(1), rtol=1e-12
    )


def test_the_closed_form_kl_is_that_of_full_covariances() -> None:
    for guide in ("mean_field", "full_rank"):
        vae = build("normal", guide=guide).double()
        q = vae.posterior(ROWS.double())
        p = vae.prior()
        wide = MultivariateNormal(vae.prior.loc, scale_tril=vae.prior.scale().diag())
        covariance = (
            q.variance.diag_embed() if guide == "mean_field" else q.covariance_matrix
        )
        torch.testing.assert_close(
            analytic_kl(q, p),
            kl_divergence(MultivariateNormal(q.mean, covariance), wide),
        )


def test_the_best_one_has_the_moments_of_the_aggregate_posterior() -> None:
    vae = build("normal", guide="mean_field").double()
    x = ROWS.double()
    prior = vae.prior
    q = vae.posterior(x)
    mean = q.mean.mean(0)
    variance = q.variance.mean(0) + q.mean.var(0, correction=0)
    optimizer = torch.optim.LBFGS(
        prior.parameters(),
        max_iter=100,
        tolerance_grad=1e-10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        rate = ELBO(kl="analytic")(vae.model, vae.guide, x).rate.mean()
        rate.backward()
        return rate

    optimizer.step(loss)
    torch.testing.assert_close(prior.loc.data, mean.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        prior.scale().detach().square(), variance.detach(), atol=1e-5, rtol=1e-5
    )


def test_it_learns() -> None:
    vae = build("normal", hidden_dims=(4,))
    before = vae.prior.loc.detach().clone()
    fit(vae, ROWS.repeat(8, 1), epochs=2, validation=None, objective=ELBO())
    assert not torch.equal(before, vae.prior.loc)
