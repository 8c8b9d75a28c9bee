"""A step of `semi_amortized` is a natural gradient step of half a nat at most."""

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from pyro_vae.guides import SemiAmortized
from tests.guides.families import TRUTH
from tests.natural_gradient import Family, fisher_information, natural_gradient

ROWS = TRUTH.sample(3, seed=5)


def off(shift: float, scale: float) -> Distribution:
    """Independent normals beside the posterior of each row."""
    means = TRUTH.posterior(ROWS).mean + shift
    scales = torch.tensor([scale, 1.5 * scale], dtype=torch.float64)
    return dist.Normal(means, scales).to_event(1)


def after_one_step(q: Distribution, lr: float) -> Tensor:
    """(δ, s) of each row, (rows, 4)."""
    guide = SemiAmortized(3, 2, steps=1, lr=lr).double()
    guide.pyro_vae_bind(TRUTH.vae().parts)
    refined = guide.pyro_vae_refine(q, ROWS)
    return torch.cat([refined.mean - q.mean, (refined.stddev / q.stddev).log()], -1)


def family(q: Distribution, row: int) -> Family:
    """N(μ + δ, diag (σ eˢ)²) for θ = (δ, s)."""

    def member(theta: Tensor) -> MultivariateNormal:
        shift, log_scale = theta.chunk(2)
        scales = q.stddev[row] * log_scale.exp()
        return MultivariateNormal(q.mean[row] + shift, scale_tril=scales.diag_embed())

    return member


@pytest.mark.parametrize("scale", [0.2, 0.9])
def test_a_step_is_lr_times_the_natural_gradient(scale: float) -> None:
    """The Fisher information of s is 2, which halves its step."""
    q, lr = off(shift=0.3, scale=scale), 1e-3
    posterior = TRUTH.posterior(ROWS)
    for row, step in enumerate(after_one_step(q, lr)):
        exact = MultivariateNormal(posterior.mean[row], posterior.covariance_matrix[0])
        expected = natural_gradient(family(q, row), exact, 4)
        torch.testing.assert_close(step / lr, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("shift", "scale"), [(30.0, 0.5), (0.0, 30.0)], ids=["mean", "scale"]
)
def test_a_long_step_is_shortened_to_half_a_nat(shift: float, scale: float) -> None:
    q = off(shift, scale)
    for row, step in enumerate(after_one_step(q, lr=0.5)):
        change = 0.5 * step @ fisher_information(family(q, row), 4) @ step
        assert float(change) == pytest.approx(0.5, rel=1e-6)
