"""Mixtures of normals, the component summed out."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Categorical

from pyro_vae import VAE
from pyro_vae.priors import Mixture
from pyro_vae.priors.mixture import Marginal, log_normals
from tests.priors.families import CASES, build

Z = np.random.default_rng(0).normal(size=(6, 2))


def log_joint(prior: Mixture, z: np.ndarray) -> np.ndarray:
    """log πₖ N(z | μₖ, diag σₖ²), by scipy: shaped (rows, K)."""
    loc = prior.loc.detach().numpy()
    scale = prior.scale().detach().numpy()
    weights = softmax(prior.logits.detach().numpy())
    return np.log(weights) + norm.logpdf(z[:, None], loc, scale).sum(-1)


def test_the_density_is_the_sum_written_out() -> None:
    prior = build("mixture").double().prior
    found = prior().log_prob(torch.tensor(Z)).detach()
    np.testing.assert_allclose(found, logsumexp(log_joint(prior, Z), 1), rtol=1e-10)


def test_the_responsibilities_are_bayes_rule() -> None:
    prior = build("mixture").double().prior
    found = prior.responsibilities(torch.tensor(Z)).detach().numpy()
    np.testing.assert_allclose(found, softmax(log_joint(prior, Z), 1), rtol=1e-9)
    assert prior.responsibilities(torch.zeros(3, 5, 2).double()).shape == (3, 5, 3)


def test_the_responsibilities_find_the_component_of_a_draw() -> None:
    prior = Mixture(2, components=3)
    prior.loc.data.copy_(torch.tensor([[-20.0, 0.0], [20.0, 0.0], [0.0, 20.0]]))
    prior.logits.data.copy_(torch.tensor([0.7, 0.2, 0.1]).log())
    torch.manual_seed(0)
    z = prior().sample(torch.Size([4000]))
    found = prior.responsibilities(z)
    assert torch.equal(found.argmax(-1), torch.cdist(z, prior.loc).argmin(-1))
    np.testing.assert_allclose(found.mean(0).detach(), [0.7, 0.2, 0.1], atol=0.03)


def test_it_starts_spread_and_from_the_seed_of_the_model() -> None:
    def loc(seed: int) -> Tensor:
        prior = VAE(
            data_shape=(4,),
            latent_dim=2,
            prior=CASES["mixture"] | {"components": 500},
            seed=seed,
        ).prior
        assert torch.equal(prior.logits, torch.zeros(500))
        assert torch.allclose(prior.scale(), torch.ones(()))
        return prior.loc.detach()

    assert torch.equal(loc(0), loc(0))
    assert not torch.equal(loc(0), loc(1))
    assert loc(0).std() == pytest.approx(1, abs=0.1)
    assert len(loc(0).unique(dim=0)) == 500


def test_draws_cost_as_many_as_the_most_wanted_component_needs() -> None:
    asked = []

    class Counting(dist.Normal):
        def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
            asked.append(sample_shape[0])
            drawn: Tensor = super().sample(sample_shape)
            return drawn

    components = Counting(torch.zeros(100, 1).double(), 1.0).to_event(1)
    torch.manual_seed(0)
    draws = Marginal(torch.zeros(100).log_softmax(0), components).sample(
        torch.Size([50, 20])
    )
    assert draws.shape == (50, 20, 1)
    assert asked[0] < 40  # of 1000 draws over 100 components
    assert len(draws.unique()) == 1000


def test_draws_are_in_no_order() -> None:
    components = dist.Normal(torch.tensor([[0.0], [9.0]]), 1e-3).to_event(1)
    torch.manual_seed(0)
    which = (
        Marginal(torch.zeros(2).log_softmax(0), components).sample(torch.Size([4000]))[
            :, 0
        ]
        > 4
    ).float()
    assert (which[1:] * which[:-1]).mean() == pytest.approx(0.25, abs=0.04)


def test_it_is_the_mixture_of_torch() -> None:
    prior = build("mixture").prior
    components = dist.Normal(prior.loc, prior.scale()).to_event(1)
    theirs = dist.MixtureSameFamily(Categorical(logits=prior.logits), components)
    z = torch.tensor(Z, dtype=torch.float32)
    torch.testing.assert_close(prior().log_prob(z), theirs.log_prob(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_densities_by_matrix_products_are_those_of_torch(dtype: torch.dtype) -> None:
    """Also at a component that is 1e-4 wide, where the three sums nearly cancel; with gradients."""
    generator = torch.Generator().manual_seed(0)
    z, loc, raw = (
        5 * torch.randn(k, 7, generator=generator, dtype=dtype) for k in (6, 9, 9)
    )
    loc[0], raw[0] = z[0], math.log(1e-4)
    log_weights = torch.randn(9, generator=generator, dtype=dtype)
    inputs = z, loc, raw.exp(), log_weights
    for value in inputs:
        value.requires_grad_()
    got = log_normals(*inputs)
    wide = [value.double() for value in inputs]
    components = dist.Normal(wide[1], wide[2]).to_event(1)
    log_components = components.log_prob(wide[0].unsqueeze(-2))
    expected = (wide[3] + log_components).to(dtype)
    torch.testing.assert_close(got, expected)
    weight = torch.randn(6, 9, generator=generator, dtype=dtype)
    torch.testing.assert_close(
        *(
            torch.autograd.grad((weight * value).sum(), inputs)
            for value in (got, expected)
        )
    )
