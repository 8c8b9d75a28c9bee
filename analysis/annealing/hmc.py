"""Hamiltonian Monte Carlo: a transition of many chains at once that leaves a density invariant."""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


class HmcState(Protocol):
    """Positions of chains, with the log density f and its gradient there.

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


S = TypeVar("S", bound=HmcState)


class DensityState(NamedTuple):
    """The state of chains under any log density."""

    z: Tensor
    log_density: Tensor
    slope: Tensor


class HmcNoise(NamedTuple):
    """The random numbers of a transition.

    Attributes:
        momentum: r ~ N(0, I), (..., dim).
        log_uniform: log u for u uniform on (0, 1), (...).
    """

    momentum: Tensor
    log_uniform: Tensor


class Transition(NamedTuple, Generic[S]):
    """A proposal and its acceptance.

    Attributes:
        end: the state at the end of the leapfrog steps.
        accepted: whether each chain moves there, (...).
        acceptance: the probability with which it does, (...).
    """

    end: S
    accepted: Tensor
    acceptance: Tensor


def density_state(log_density: LogDensity, z: Tensor) -> DensityState:
    """The density and its slope at z, by one backward pass for all chains.

    Example:
        >>> density_state(lambda z: -0.5 * z.square().sum(-1), torch.tensor([[1.0, 2.0]])).slope
        tensor([[-1., -2.]])
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        # the gradient of the sum is that of each chain: no density depends on another chain
        (slope,) = torch.autograd.grad(value.sum(), z)
    return DensityState(z.detach(), value.detach(), slope)


def leapfrog(
    state_at: Callable[[Tensor], S],
    start: S,
    momentum: Tensor,
    step_size: Tensor,
    num_steps: int,
) -> tuple[S, Tensor]:
    """Integrate Hamilton's equations for the energy H(z, r) = -log f(z) + r² / 2.

    r ← r + ½ ε ∂ log f(z),   z ← z + ε r,   r ← r + ½ ε ∂ log f(z)

    The map keeps volumes, and with r negated at its end it is its own inverse. One ε for each
    dimension is the same as a mass matrix diag ε⁻².

    Arguments:
        state_at: from positions (..., dim) to the state there.
        start: the state of the chains.
        momentum: r, (..., dim).
        step_size: ε, of a shape that broadcasts to (..., dim).
        num_steps: the number of leapfrog steps.

    Returns:
        The state at the end, and the momentum there.

    Example:
        >>> from functools import partial
        >>> bowl = partial(density_state, lambda z: -0.5 * z.square().sum(-1))
        >>> start, still = bowl(torch.ones(1, 1)), torch.zeros(1, 1)
        >>> end, r = leapfrog(bowl, start, still, torch.tensor(0.01), 314)
        >>> end.z  # half a turn
        tensor([[-1.0000]])
    """
    state = start
    for _ in range(num_steps):
        momentum = momentum + 0.5 * step_size * state.slope
        state = state_at(state.z + step_size * momentum)
        momentum = momentum + 0.5 * step_size * state.slope
    return state, momentum


def transition(
    state_at: Callable[[Tensor], S],
    start: S,
    noise: HmcNoise,
    step_size: Tensor,
    num_steps: int,
) -> Transition[S]:
    """One transition of Hamiltonian Monte Carlo, which leaves the density f invariant.

    Leapfrog steps lead from (z, r) to the proposal (z', r'), which is accepted with probability
    min(1, exp(H(z, r) - H(z', r'))).

    f is invariant for any step size that does not depend on z. A proposal where log f is not
    finite is rejected.

    References:
        MCMC Using Hamiltonian Dynamics (Neal, 2011).

    Arguments:
        state_at: from positions (..., dim) to the state there.
        start: the state of the chains.
        noise: the random numbers.
        step_size: ε, of a shape that broadcasts to (..., dim).
        num_steps: the number of leapfrog steps.

    Example:
        >>> from functools import partial
        >>> bowl = partial(density_state, lambda z: -0.5 * z.square().sum(-1))
        >>> noise = HmcNoise(torch.randn(5, 2), torch.rand(5).log())
        >>> start = bowl(torch.zeros(5, 2))
        >>> transition(bowl, start, noise, torch.tensor(0.5), 3).accepted.shape
        torch.Size([5])
    """
    end, momentum = leapfrog(state_at, start, noise.momentum, step_size, num_steps)
    gain = end.log_density - start.log_density
    log_ratio = gain + _kinetic(noise.momentum) - _kinetic(momentum)
    log_ratio = log_ratio.nan_to_num(nan=-torch.inf)
    accepted = noise.log_uniform < log_ratio
    acceptance = log_ratio.clamp_max(0).exp()
    return Transition(end, accepted, acceptance)


def _kinetic(momentum: Tensor) -> Tensor:
    """r² / 2."""
    return 0.5 * momentum.square().sum(-1)
