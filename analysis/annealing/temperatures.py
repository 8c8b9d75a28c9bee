"""Temperature schedules of annealing, tuned for each row by pilot chains that are then dropped."""

import torch
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    PILOT_CHAINS,
    AnnealingOptions,
    Chains,
    TemperatureSchedule,
    with_bar,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath

ACCEPTANCE = 0.8
"""Target of the step sizes.

With 3 leapfrog steps a transition is then about a quarter turn, which forgets the most.
"""
FIRST_STEP_SIZE = 0.5
EVEN_SHARE = 0.2
"""Share of an even spacing in the temperatures, since the spread of few chains is rough."""


def tuned(
    path: GeometricPath,
    seeds: list[int],
    options: AnnealingOptions,
) -> TemperatureSchedule:
    """The schedule of each row, from pilot chains on T / 10 temperatures (at least 20).

    log ε ← log ε + 2 (acceptance - 0.8) after each transition, and temperatures between which the
    density changes evenly:

    (bₜ - bₜ₋₁) sd[U(z)] is the same for all t, for U(z) = log p(x, z) - log q₀(z) and its sd over
    the chains at bₜ

    which minimises Var[log w], about Σₜ (bₜ - bₜ₋₁)² Var[U(z)] where chains mix. The other chains
    are independent of the pilot chains, so that to them temperatures and step sizes are constants.

    References:
        Simulating Normalizing Constants: From Importance Sampling to Bridge Sampling to Path
        Sampling (Gelman, Meng, 1998), for the temperatures.
    """
    num_rows = len(path.x)
    b = sigmoid_schedule(max(20, options.temperatures // 10)).to(path.x.device)
    dtype = path.spread[1].dtype
    step_size = torch.full(
        (len(b), num_rows), FIRST_STEP_SIZE, dtype=dtype, device=b.device
    )
    schedule = TemperatureSchedule(b.unsqueeze(1).expand(-1, num_rows), step_size)
    pilot = Chains(path, schedule, path.draw(seeds, PILOT_CHAINS), seeds, options)
    spreads = [pilot.state.gain.std(0)]
    for t in with_bar(range(1, len(b)), options):
        pilot.move(t)
        too_often = pilot.acceptance[-1] - ACCEPTANCE
        step_size[t + 1 :] = step_size[t] * (2 * too_often).exp()
        spreads.append(pilot.state.gain.std(0))
    return evenly_spaced(b, torch.stack(spreads), step_size, options.temperatures)


def sigmoid_schedule(temperatures: int) -> Tensor:
    """0 = b₀ < b₁ < ... < b_T = 1 along a sigmoid from -4 to 4.

    It is slow at both ends, where the density may change most.

    Example:
        >>> sigmoid_schedule(4)
        tensor([0.0000, 0.1050, 0.5000, 0.8950, 1.0000], dtype=torch.float64)
    """
    sigmoid = torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64).sigmoid()
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


def evenly_spaced(
    b: Tensor,
    spread: Tensor,
    step_size: Tensor,
    temperatures: int,
) -> TemperatureSchedule:
    """T + 1 temperatures between which the integral of the spread over b is the same.

    Step sizes are interpolated, in logarithms.

    Arguments:
        b: where spread and step size are known, (some,).
        spread: of U(z), (some, rows).
        step_size: (some, rows).
        temperatures: T.

    Example:
        >>> b = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> evenly_spaced(b, torch.ones(5, 1), torch.ones(5, 1), 2).b.T
        tensor([[0.0000, 0.5000, 1.0000]], dtype=torch.float64)
    """
    speed = spread.double().nan_to_num(0.0, 0.0, 0.0)
    speed = speed + EVEN_SHARE * speed.mean(0) + 1e-9
    # the trapezoidal rule
    pieces = 0.5 * (speed[1:] + speed[:-1]) * b.diff().unsqueeze(1)
    integral = torch.cat([torch.zeros_like(pieces[:1]), pieces.cumsum(0)])
    shares = torch.linspace(0, 1, temperatures + 1, dtype=b.dtype, device=b.device)
    wanted = shares.unsqueeze(1) * integral[-1]
    # the interval of `b` in which each wanted value of the integral lies
    right = _first_at_least(integral, wanted).clamp(1, len(b) - 1)
    left = right - 1
    low = integral.gather(0, left)
    high = integral.gather(0, right)
    weight = ((wanted - low) / (high - low)).clamp(0, 1)
    log_step = step_size.log()
    log_left = log_step.gather(0, left)
    log_right = log_step.gather(0, right)
    log_between = log_left.lerp(log_right, weight.to(step_size.dtype))
    return TemperatureSchedule(b[left].lerp(b[right], weight), log_between.exp())


def _first_at_least(ascending: Tensor, wanted: Tensor) -> Tensor:
    """For each wanted value the first index of its column with such a value, both (..., rows)."""
    columns = ascending.T.contiguous()
    return torch.searchsorted(columns, wanted.T.contiguous()).T
