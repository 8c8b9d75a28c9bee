"""Each prior against numbers from outside."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from torch.distributions import constraints

from pyro_vae.priors import Flat, StandardNormal


@pytest.mark.parametrize("latent_dim", [1, 2, 10])
def test_standard_normal_is_scipys(latent_dim: int) -> None:
    z = 3 * np.random.default_rng(0).normal(size=(20, latent_dim))
    found = StandardNormal(latent_dim).double()().log_prob(torch.tensor(z)).numpy()
    np.testing.assert_allclose(found, norm.logpdf(z).sum(-1), rtol=1e-13)
    np.testing.assert_allclose(
        found,
        multivariate_normal.logpdf(z, np.zeros(latent_dim)).reshape(-1),
        rtol=1e-13,
    )


@pytest.mark.parametrize("latent_dim", [1, 8])
def test_standard_normal_at_its_mode(latent_dim: int) -> None:
    found = (
        StandardNormal(latent_dim)
        .double()()
        .log_prob(torch.zeros(latent_dim, dtype=torch.float64))
    )
    assert float(found) == pytest.approx(
        -latent_dim / 2 * math.log(2 * math.pi), rel=1e-14
    )


def test_flat_is_one_everywhere() -> None:
    z = torch.tensor([[0.0, 0.0], [1e30, -1e30], [-3.0, 2.0]])
    assert Flat(2)().log_prob(z).tolist() == [0, 0, 0]


def test_flat_has_no_samples() -> None:
    with pytest.raises(NotImplementedError):
        Flat(2)().sample()


def test_flat_takes_every_real_vector() -> None:
    support = Flat(2)().support
    assert isinstance(support, constraints.independent)
    assert support.check(torch.tensor([[1.0, -2.0], [math.nan, 0.0]])).tolist() == [
        True,
        False,
    ]
