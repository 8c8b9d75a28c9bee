"""log p(x) by importance sampling against the integral over z, for every likelihood."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_vae import evidence
from tests.likelihoods.families import every_case, vae

ROWS = 40
DRAWS = 1000


class Wide(nn.Module):
    """q(z | x) = N(0, 1.5²) for every x: wider than the prior, so that the weights are bounded."""

    def forward(self, x):
        return dist.Normal(x.new_zeros(len(x), 1), 1.5).to_event(1)


@pytest.mark.slow
@every_case
def test_evidence_is_the_integral_over_z(name):
    model = vae(name, latent_dim=1, guide=Wide())
    with torch.no_grad():
        for layer in model.likelihood.decoder.modules():
            if isinstance(layer, nn.Linear):
                layer.weight *= 2
        torch.manual_seed(0)
        rows = (
            model.likelihood(torch.randn(ROWS, 1, dtype=torch.float64))
            .sample()
            .unique(dim=0)
        )
        z = torch.linspace(-9, 9, 3001, dtype=torch.float64).reshape(-1, 1, 1)
        log_joint = model.prior().log_prob(z) + model.likelihood(z).log_prob(rows)
        exact = torch.logsumexp(log_joint, 0) + torch.log(z[1] - z[0]).squeeze()
    found = evidence(model, rows, num_particles=DRAWS, chunk_size=200_000)
    beyond = np.abs(found.log_marginal - exact.numpy()) > 3 * found.se
    assert beyond.sum() <= max(1, 0.03 * len(rows))
    assert exact.std() > 0


@pytest.mark.parametrize("size", [0.5, 2.0])
def test_the_evidence_of_sized_counts_is_given_their_size(size):
    """Σ p(x | s) over all counts x is one, for each s."""
    model = vae("negative_binomial, sized", latent_dim=1, guide=Wide())
    values = torch.arange(48, dtype=torch.float64)
    counts = torch.cartesian_prod(values, values, values[:24])
    rows = torch.cat(
        [counts, torch.full((len(counts), 1), size, dtype=torch.float64)], -1
    )
    z = torch.linspace(-7, 7, 29, dtype=torch.float64).reshape(-1, 1, 1)
    with torch.no_grad():
        log_prior = model.prior().log_prob(z) + np.log(0.5)
        mass = sum(
            float((model.likelihood(one).log_prob(rows) + p).exp().sum())
            for one, p in zip(z, log_prior, strict=True)
        )
    assert mass == pytest.approx(1, abs=5e-3)
