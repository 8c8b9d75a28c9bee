"""Hamiltonian Monte Carlo: a move of many chains at once that leaves a density as it is."""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


class Place(Protocol):
    """Where chains are, with what a move has to know of log f there.

    Attributes:
        z: positions, (..., dim).
        log_density: log f(z) up to a constant, (...).
        slope: ∂ log f / ∂z, (..., dim).
    """

    @property
    def z(self) -> Tensor: ...
    @property
    def log_density(self) -> Tensor: ...
    @property
    def slope(self) -> Tensor: ...


P = TypeVar("P", bound=Place)


class Point(NamedTuple):
    """A place of any density."""

    z: Tensor
    log_density: Tensor
    slope: Tensor


class Kick(NamedTuple):
    """The random numbers of a move: a momentum r ~ N(0, I) (..., dim), and log u (...) for u
    uniform on (0, 1).
    """

    momentum: Tensor
    log_uniform: Tensor


class Moved(NamedTuple, Generic[P]):
    """Where the leapfrog led, whether each chain went there (...), and the probability (...) with
    which it does.
    """

    end: P
    accepted: Tensor
    acceptance: Tensor


def point(log_density: LogDensity, z: Tensor) -> Point:
    """The density and its slope at z; every chain's by one backward pass, since no chain's depends
    on another.

    Example:
        >>> point(lambda z: -0.5 * z.square().sum(-1), torch.tensor([[1.0, 2.0]])).slope
        tensor([[-1., -2.]])
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
    return Point(z.detach(), value.detach(), slope)


def leapfrog(
    at: Callable[[Tensor], P], start: P, momentum: Tensor, step: Tensor, steps: int
) -> tuple[P, Tensor]:
    """Follow Hamilton's equations for the energy H(z, r) = -log f(z) + r² / 2.

    r ← r + ½ ε ∂ log f(z),   z ← z + ε r,   r ← r + ½ ε ∂ log f(z)

    The map keeps volumes, and with r turned around at its end it is its own inverse. An ε for each
    dimension is the same as a mass matrix diag ε⁻².

    Arguments:
        at: from positions (..., dim) to the place there.
        start: where the chains are.
        momentum: r, (..., dim).
        step: ε, of a shape that broadcasts to (..., dim).
        steps: how often.

    Returns:
        Where the chains get to, and the momentum there.

    Example:
        >>> from functools import partial
        >>> bowl = partial(point, lambda z: -0.5 * z.square().sum(-1))
        >>> end, r = leapfrog(bowl, bowl(torch.ones(1, 1)), torch.zeros(1, 1), torch.tensor(0.01), 314)
        >>> end.z  # half a turn
        tensor([[-1.0000]])
    """
    here = start
    for _ in range(steps):
        momentum = momentum + 0.5 * step * here.slope
        here = at(here.z + step * momentum)
        momentum = momentum + 0.5 * step * here.slope
    return here, momentum


def move(at: Callable[[Tensor], P], start: P, kick: Kick, step: Tensor, steps: int) -> Moved[P]:
    """One transition of Hamiltonian Monte Carlo, after which draws from f are still draws from f.

    z' is where the leapfrog leads from (z, r); accept it with probability min(1, exp(H(z, r) -
    H(z', r'))).

    It leaves f as it is for any step that does not depend on z. A proposal where log f is not
    finite is rejected.

    References:
        MCMC Using Hamiltonian Dynamics (Neal, 2011).

    Arguments:
        at: from positions (..., dim) to the place there.
        start: where the chains are.
        kick: the random numbers.
        step: ε, of a shape that broadcasts to (..., dim).
        steps: of the leapfrog.

    Example:
        >>> from functools import partial
        >>> bowl = partial(point, lambda z: -0.5 * z.square().sum(-1))
        >>> kick = Kick(torch.randn(5, 2), torch.rand(5).log())
        >>> move(bowl, bowl(torch.zeros(5, 2)), kick, torch.tensor(0.5), 3).accepted.shape
        torch.Size([5])
    """
    end, momentum = leapfrog(at, start, kick.momentum, step, steps)
    log_ratio = end.log_density - start.log_density + _kinetic(kick.momentum) - _kinetic(momentum)
    log_ratio = log_ratio.nan_to_num(nan=-torch.inf)
    return Moved(end, kick.log_uniform < log_ratio, log_ratio.clamp_max(0).exp())


def _kinetic(momentum: Tensor) -> Tensor:
    """r² / 2."""
    return 0.5 * momentum.square().sum(-1)
