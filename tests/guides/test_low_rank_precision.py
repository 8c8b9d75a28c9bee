"""The density of a low-rank normal is computed in float64, whatever the type of its parameters."""

import numpy as np
import torch
from scipy.stats import multivariate_normal
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_vae.guides.low_rank import LowRankNormal


def normal(scale: float, length: float, dim: int = 8, rank: int = 2) -> LowRankNormal:
    """N(μ, σ² + V Vᵀ) with parameters in float32, of σ near `scale` and |V| near `length`."""
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(dim, generator=generator)
    factor = length * torch.randn(dim, rank, generator=generator)
    diagonal = scale**2 * (0.5 + torch.rand(dim, generator=generator))
    return LowRankNormal(loc, factor, diagonal)


def covariance(q: LowRankNormal) -> Tensor:
    """V Vᵀ + diag σ² in float64."""
    factor = q.cov_factor.double()
    return factor @ factor.T + q.cov_diag.double().diag()


def test_values_in_float64_are_those_of_scipy() -> None:
    q = normal(scale=1.0, length=1.0)
    z = q.loc.double() + torch.randn(
        50, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    expected = multivariate_normal(
        q.loc.double().numpy(), covariance(q).numpy()
    ).logpdf(z.numpy())
    np.testing.assert_allclose(q.log_prob(z).numpy(), expected, rtol=1e-12)


def test_values_in_float32_lose_only_their_last_digits() -> None:
    """V² / σ⁴ is 10⁸ here: of a difference of two such numbers no digit would be left."""
    q = normal(scale=1e-2, length=1.0)
    noise = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    z = q.loc + 1e-2 * noise + (q.cov_factor @ torch.ones(2))
    found = q.log_prob(z)
    expected = MultivariateNormal(q.loc.double(), covariance(q)).log_prob(z.double())
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)
