"""A step of `fit_normal` is a natural gradient step; one of more than half a nat is shortened."""

from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from pyro_vae.analysis.marginal_likelihood.refinement import fit_normal
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from tests.natural_gradient import Family, fisher_information, natural_gradient

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=3)
ROWS = TRUTH.sample(4, seed=1)
LOWER = torch.tril_indices(3, 3).unbind()


def off(shift: float, scale: float) -> Any:
    """A guide of correlated normals beside the posterior of each row."""
    entries = [[1.0, 0.0, 0.0], [0.5, 1.2, 0.0], [-0.3, 0.4, 0.8]]
    tril = scale * torch.tensor(entries, dtype=torch.float64)

    def guide(x: Tensor) -> Distribution:
        mean = TRUTH.posterior(x.double()).mean + shift
        return dist.MultivariateNormal(mean, scale_tril=tril.expand(len(x), 3, 3))

    return guide


def after_one_step(guide: Any, lr: float) -> Tensor:
    """θ of each row, (rows, 9): u and the lower triangle of T, its diagonal in logarithms."""
    q: Any = guide(ROWS)
    loc, tril = fit_normal(TRUTH.vae(guide=guide), ROWS, steps=1, lr=lr)
    shift = torch.linalg.solve_triangular(
        q.scale_tril, (loc - q.loc).unsqueeze(-1), upper=False
    )
    product = torch.linalg.solve_triangular(q.scale_tril, tril, upper=False)
    twist = product.tril(-1) + product.diagonal(dim1=-2, dim2=-1).log().diag_embed()
    return torch.cat([shift.squeeze(-1), twist[:, LOWER[0], LOWER[1]]], -1)


def family(guide: Any, row: int) -> Family:
    """N(m + L u, L Tᵤ Tᵤᵀ Lᵀ) with Tᵤ = I + T, to first order."""
    q: Any = guide(ROWS)
    loc, tril = q.loc[row], q.scale_tril[row]

    def member(theta: Tensor) -> MultivariateNormal:
        shift, entries = theta.split([3, 6])
        twist = torch.zeros(3, 3, dtype=torch.float64).index_put(LOWER, entries)
        product = twist.tril(-1) + twist.diagonal().exp().diag()
        return MultivariateNormal(loc + tril @ shift, scale_tril=tril @ product)

    return member


def test_a_step_is_lr_times_the_natural_gradient() -> None:
    """The Fisher information of T's diagonal is 2, which halves its step."""
    guide, lr = off(shift=0.3, scale=0.4), 1e-3
    posterior = TRUTH.posterior(ROWS)
    for row, step in enumerate(after_one_step(guide, lr)):
        exact = MultivariateNormal(posterior.mean[row], posterior.covariance_matrix[0])
        expected = natural_gradient(family(guide, row), exact, 9)
        torch.testing.assert_close(step / lr, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("shift", "scale"), [(30.0, 0.5), (0.0, 30.0)], ids=["mean", "scale"]
)
def test_a_long_step_is_shortened_to_about_half_a_nat(
    shift: float, scale: float
) -> None:
    """Below it where correlations change: a step's length counts them twice."""
    guide = off(shift, scale)
    for row, step in enumerate(after_one_step(guide, lr=0.5)):
        change = float(0.5 * step @ fisher_information(family(guide, row), 9) @ step)
        assert 0.35 < change < 0.5 + 1e-9
