"""Quasi-Newton steps against normals whose mean and covariance are known in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.quasi_newton import (
    LEAST_CURVATURE,
    PAIRS,
    Rates,
    quasi_newton,
)
from pyro_vae.analysis.marginal_likelihood.starts import steps_of

NEWTON = Rates(1.0, 1.0)


class Normals:
    """A log p(x, z) that is quadratic: z | x ~ N(mean, precision⁻¹), other ones for each row."""

    def __init__(self, rows: int, dim: int) -> None:
        generator = torch.Generator().manual_seed(dim)
        noise = torch.randn(rows, dim, dim, generator=generator).double()
        self.mean = 0.3 * torch.randn(rows, dim, generator=generator).double()
        self.precision = torch.eye(dim).double() + noise @ noise.mT / dim
        self.start = torch.zeros(rows, dim).double(), torch.eye(dim).double()
        self.slopes = 0

    def slope(self, z: Tensor) -> Tensor:
        self.slopes += len(z)
        return -((z - self.mean).unsqueeze(-2) @ self.precision).squeeze(-2)

    def covariance(self) -> np.ndarray:
        return np.linalg.inv(self.precision.numpy())


@pytest.mark.parametrize("dim", [1, 2, 8, 9, 20])
def test_one_look_at_every_direction_gives_the_covariance(dim: int) -> None:
    truth = Normals(rows=3, dim=dim)
    sweep = math.ceil(dim / PAIRS)
    loc, tril = truth.start
    found = quasi_newton(truth.slope, loc, tril.expand(3, -1, -1), [NEWTON] * sweep)
    np.testing.assert_allclose(
        found.scale_tril @ found.scale_tril.mT, truth.covariance(), rtol=0, atol=1e-6
    )
    assert truth.slopes == 2 * PAIRS * sweep
    assert not found.scale_tril.triu(1).any()


def test_the_mean_follows() -> None:
    truth = Normals(rows=3, dim=20)
    loc, tril = truth.start
    found = quasi_newton(truth.slope, loc, tril.expand(3, -1, -1), [NEWTON] * 8)
    np.testing.assert_allclose(found.loc, truth.mean, rtol=0, atol=1e-6)
    assert (found.distance < 1e-6).all()


def test_the_steps_of_evidence_come_close() -> None:
    """Their rates are below 1, since slopes are noisy elsewhere."""
    truth = Normals(rows=3, dim=20)
    loc, tril = truth.start
    few = [Rates(0.6, 0.85)] * steps_of(20)
    found = quasi_newton(truth.slope, loc, tril.expand(3, -1, -1), few)
    whitened = found.scale_tril.mT @ truth.precision @ found.scale_tril
    assert (torch.linalg.eigvalsh(whitened) - 1).abs().max() < 0.05
    assert found.distance.max() < 0.05


def test_a_step_is_short() -> None:
    """As far as the draws at most, and 4.5 times as wide at most."""
    dim = 3
    found = quasi_newton(
        lambda z: -1e-6 * (z - 1e9), torch.zeros(1, dim), torch.eye(dim)[None], [NEWTON]
    )
    assert math.isclose(float(found.loc.norm()), math.sqrt(dim), rel_tol=1e-5)
    widest = found.scale_tril.diagonal(dim1=1, dim2=2).max()
    assert math.isclose(float(widest), LEAST_CURVATURE**-0.5, rel_tol=1e-3)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, 1e38])
def test_rows_that_leave_the_numbers_stay_where_they_were(broken: float) -> None:
    truth = Normals(rows=3, dim=9)

    def slope(z: Tensor) -> Tensor:
        found = truth.slope(z.double()).float()
        found[:, 1] = broken * z[:, 1]
        return found

    loc, tril = truth.start
    every = loc.float(), tril.float().expand(3, -1, -1)
    found = quasi_newton(slope, *every, [NEWTON] * 8)
    assert torch.equal(found.loc[1], every[0][1])
    assert torch.equal(found.scale_tril[1], every[1][1])
    assert found.distance[1] == torch.inf
    torch.testing.assert_close(
        found.loc[[0, 2]], truth.mean[[0, 2]].float(), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("curvature", "scale"), [(0.0, 20**0.5), (1e07, 1e04**-0.5)])
def test_a_step_changes_a_scale_within_limits(curvature, scale):
    start = torch.zeros(1, 3).double(), torch.eye(3).double().expand(1, 3, 3)
    found = quasi_newton(lambda z: -curvature * z, *start, [Rates(0.0, 1.0)])
    torch.testing.assert_close(found.scale_tril[0] / scale, torch.eye(3).double())
