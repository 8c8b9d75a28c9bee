"""Hamiltonian Monte Carlo: a move of many chains at once that leaves a density as it is."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


class Point(NamedTuple):
    """Positions z (..., dim), log f there (...) up to a constant, and its slope ∂ log f / ∂z (..., dim)."""

    z: Tensor
    log_density: Tensor
    slope: Tensor


class Kick(NamedTuple):
    """The random numbers of a move: a momentum r ~ N(0, I) (..., dim), and log u (...) for u uniform on (0, 1)."""

    momentum: Tensor
    log_uniform: Tensor


class Moved(NamedTuple):
    """Positions after a move (..., dim), and the probability (...) with which each proposal was accepted."""

    z: Tensor
    acceptance: Tensor


def point(log_density: LogDensity, z: Tensor) -> Point:
    """The density and its slope at z; every chain's by one backward pass, since no chain's depends on another.

    Example:
        >>> point(lambda z: -0.5 * z.square().sum(-1), torch.tensor([[1.0, 2.0]])).slope
        tensor([[-1., -2.]])
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
    return Point(z.detach(), value.detach(), slope)


def leapfrog(log_density: LogDensity, start: Point, momentum: Tensor, step: Tensor, steps: int) -> tuple[Point, Tensor]:
    """Follow Hamilton's equations for the energy H(z, r) = -log f(z) + r² / 2.

    r ← r + ½ ε ∂ log f(z),   z ← z + ε r,   r ← r + ½ ε ∂ log f(z)

    The map keeps volumes, and with r turned around at its end it is its own inverse. An ε for each dimension is the
    same as a mass matrix diag ε⁻².

    Arguments:
        log_density: log f, from (..., dim) to (...).
        start: where the chains are.
        momentum: r, (..., dim).
        step: ε, of a shape that broadcasts to (..., dim).
        steps: how often.

    Returns:
        Where the chains get to, and the momentum there.

    Example:
        >>> def bowl(z): return -0.5 * z.square().sum(-1)
        >>> end, r = leapfrog(bowl, point(bowl, torch.ones(1, 1)), torch.zeros(1, 1), torch.tensor(0.01), 314)
        >>> end.z  # half a turn
        tensor([[-1.0000]])
    """
    here = start
    for _ in range(steps):
        momentum = momentum + 0.5 * step * here.slope
        here = point(log_density, here.z + step * momentum)
        momentum = momentum + 0.5 * step * here.slope
    return here, momentum


def move(log_density: LogDensity, z: Tensor, kick: Kick, step: Tensor, steps: int) -> Moved:
    """One transition of Hamiltonian Monte Carlo, after which draws from f are still draws from f.

    z' is where the leapfrog leads from (z, r); accept it with probability min(1, exp(H(z, r) - H(z', r'))).

    It leaves f as it is for any step that does not depend on z. A proposal where log f is not finite is rejected.

    References:
        MCMC Using Hamiltonian Dynamics (Neal, 2011).

    Arguments:
        log_density: log f, from (..., dim) to (...).
        z: where the chains are, (..., dim).
        kick: the random numbers.
        step: ε, of a shape that broadcasts to (..., dim).
        steps: of the leapfrog.

    Example:
        >>> z, kick = torch.zeros(5, 2), Kick(torch.randn(5, 2), torch.rand(5).log())
        >>> move(lambda z: -0.5 * z.square().sum(-1), z, kick, torch.tensor(0.5), 3).z.shape
        torch.Size([5, 2])
    """
    start = point(log_density, z)
    end, momentum = leapfrog(log_density, start, kick.momentum, step, steps)
    log_ratio = end.log_density - start.log_density + _kinetic(kick.momentum) - _kinetic(momentum)
    log_ratio = log_ratio.nan_to_num(nan=-torch.inf)
    accepted = (kick.log_uniform < log_ratio).unsqueeze(-1)
    return Moved(torch.where(accepted, end.z, start.z), log_ratio.clamp_max(0).exp())


def _kinetic(momentum: Tensor) -> Tensor:
    """r² / 2."""
    return 0.5 * momentum.square().sum(-1)
