"""Independent Laplace variables."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import laplace, norm

from pyro_vae.objectives import analytic_kl
from pyro_vae.priors import Laplace
from tests.priors.families import ROWS, build

Z = np.random.default_rng(0).normal(size=(6, 2))


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_the_density_is_that_of_scipy(scale: float) -> None:
    found = Laplace(2, scale=scale).double()().log_prob(torch.tensor(Z))
    np.testing.assert_allclose(found, laplace.logpdf(Z, scale=scale).sum(1), rtol=1e-12)


def test_by_default_the_variance_is_one_and_nothing_is_learned() -> None:
    prior = Laplace(3).double()
    np.testing.assert_allclose(prior().variance, np.ones(3), rtol=1e-12)
    assert not [*prior.parameters()]


def test_learned_scales_start_there_and_belong_to_each_dimension() -> None:
    prior = Laplace(2, scale="learned").double()
    np.testing.assert_allclose(prior.scale().detach(), [math.sqrt(0.5)] * 2, rtol=1e-6)
    prior.scale.raw.data[0] += 1
    scale = prior.scale().detach().numpy()
    assert scale[0] > 1.1 * scale[1]
    found = prior().log_prob(torch.tensor(Z)).detach()
    np.testing.assert_allclose(found, laplace.logpdf(Z, scale=scale).sum(1), rtol=1e-12)


def test_the_closed_form_kl_from_normals_is_the_integral() -> None:
    vae = build("laplace", latent_dim=1, guide="mean_field").double()
    q = vae.posterior(ROWS[:3].double())
    numbers = torch.stack(
        [q.mean[:, 0], q.stddev[:, 0], analytic_kl(q, vae.prior())], 1
    ).tolist()
    for mu, sigma, found in numbers:
        near = norm(mu, sigma)
        exact, _ = quad(
            lambda z, q=near: (
                q.pdf(z) * (q.logpdf(z) - laplace.logpdf(z, scale=math.sqrt(0.5)))
            ),
            -12,
            12,
        )
        assert found == pytest.approx(exact, rel=1e-6)
