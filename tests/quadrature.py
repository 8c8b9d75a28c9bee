"""Integrals and sums over the support of a distribution, and draws compared with them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors


class Grid(NamedTuple):
    """Points (k, dim) and their weights (k,): ∫ f ≈ Σ weight * f(point)."""

    points: Tensor
    weights: Tensor


def real_grid(
    center: Tensor, scale: Tensor, reach: float = 20.0, size: int = 4001
) -> Grid:
    """The plane of `len(center)` dimensions: the trapezoid rule in t, x = center + scale * sinh(t).

    For a smooth density it converges faster than any power of the step; reach 20 goes out to 2.4e8
    scales.
    """
    t = torch.linspace(-reach, reach, size, dtype=torch.float64)
    axes = [
        loc + spread * t.sinh()
        for loc, spread in zip(center.double(), scale.double(), strict=True)
    ]
    steps = [spread * t.cosh() * (2 * reach / (size - 1)) for spread in scale.double()]
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    return Grid(points, torch.cartesian_prod(*steps).reshape(-1, len(steps)).prod(-1))


def interval_grid(size: int = 400) -> Grid:
    """[0, 1], by the Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(size)
    return Grid(torch.tensor((nodes + 1) / 2).unsqueeze(-1), torch.tensor(weights / 2))


def integers(last: int) -> Grid:
    """0, 1, ..., last."""
    return Grid(
        torch.arange(last + 1.0, dtype=torch.float64).unsqueeze(-1),
        torch.ones(last + 1, dtype=torch.float64),
    )


def vector_grid(p: Distribution) -> Grid:
    """Points all over the plane for a distribution of real vectors of length 1 or 2."""
    center, scale = p.mean.detach(), p.stddev.detach()
    return (
        real_grid(center, scale)
        if len(center) == 1
        else real_grid(center, scale, reach=6.0, size=501)
    )


def grid(support: constraints.Constraint, p: Distribution) -> Grid:
    """The points of a support for one number; a family with another support adds its line here."""
    if support is constraints.boolean:
        return integers(1)
    if isinstance(support, constraints.integer_interval):
        return integers(support.upper_bound)
    if support is constraints.unit_interval:
        return interval_grid()
    if support is constraints.real:
        return vector_grid(p)
    raise NotImplementedError(f"no grid for {support}")


def mass(p: Distribution, where: Grid) -> Tensor:
    """The probability of each point's cell; together they make one."""
    density = p.log_prob(where.points.to(p.mean.dtype)).detach().double().exp()
    return density * where.weights


def assert_draws_follow(draws: Tensor, probabilities: Tensor, points: Tensor) -> None:
    """Mean and variance of independent draws (n, dim) are those of the density within errors."""
    mean = probabilities @ points
    moments = [(points - mean) ** k for k in (1, 2, 4)]
    _, variance, fourth = (probabilities @ moment for moment in moments)
    draws, n = draws.double(), len(draws)
    assert_within((draws.mean(0) - mean).abs(), (variance / n).sqrt())
    assert_within(
        ((draws - mean).square().mean(0) - variance).abs(),
        ((fourth - variance.square()) / n).sqrt(),
    )


def assert_within(error: Tensor, standard_error: Tensor) -> None:
    """The rounding of a float32 draw is allowed where the standard error is zero."""
    assert (error <= SIGMAS * standard_error + 1e-9).all(), (
        f"{(error / standard_error).max():.1f} standard errors off"
    )
