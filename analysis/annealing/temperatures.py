"""Temperatures and step sizes of annealing, tuned for each row by a shorter walk that is then
thrown away.
"""

import torch
from torch import Tensor

from pyro_vae.analysis.annealing.chains import PILOTS, Ladder, Plan, Walker, shown
from pyro_vae.analysis.annealing.geometric_path import Path

ACCEPTANCE = 0.8
"""What the step sizes are tuned to: with 3 leapfrog steps a move is about a quarter turn, which
forgets the most.
"""
FIRST_STEP = 0.5
EVEN = 0.2
"""Share of an even spacing in the temperatures, since the spread of few chains is rough."""


def tuned(path: Path, seeds: list[int], plan: Plan) -> Ladder:
    """The ladder of each row, from a walk of T / 10 temperatures (at least 20) of chains of its
    own.

    log ε ← log ε + 2 (acceptance - 0.8) after each move, and temperatures whose density changes
    evenly:

    (bₜ - bₜ₋₁) sd[U(z)] is the same for all t, for U(z) = log p(x, z) - log q₀(z) and its sd over
    the chains at bₜ

    which makes Var[log w], about Σₜ (bₜ - bₜ₋₁)² Var[U(z)] where chains mix, the smallest. The
    other walks know nothing of these chains, so that to them temperatures and steps are constants.

    References:
        Simulating Normalizing Constants: From Importance Sampling to Bridge Sampling to Path
        Sampling (Gelman, Meng, 1998), for the temperatures.
    """
    b = schedule(max(20, plan.temperatures // 10)).to(path.x.device)
    steps = torch.full(
        (len(b), len(path.x)), FIRST_STEP, dtype=path.spread[1].dtype, device=b.device
    )
    pilot = Walker(
        path,
        Ladder(b.unsqueeze(1).expand(-1, len(path.x)), steps),
        path.draw(seeds, PILOTS),
        seeds,
        plan,
    )
    spreads = [pilot.here.gain.std(0)]
    for t in shown(range(1, len(b)), plan):
        pilot.move(t)
        steps[t + 1 :] = steps[t] * (2 * (pilot.acceptance[-1] - ACCEPTANCE)).exp()
        spreads.append(pilot.here.gain.std(0))
    return spaced(b, torch.stack(spreads), steps, plan.temperatures)


def schedule(temperatures: int) -> Tensor:
    """0 = b₀ < b₁ < ... < b_T = 1 along a sigmoid from -4 to 4: slow at both ends, where the
    density may change most.

    Example:
        >>> schedule(4)
        tensor([0.0000, 0.1050, 0.5000, 0.8950, 1.0000], dtype=torch.float64)
    """
    sigmoid = torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64).sigmoid()
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


def spaced(b: Tensor, spread: Tensor, step: Tensor, temperatures: int) -> Ladder:
    """T + 1 temperatures between which the integral of the spread over b is the same, and the steps
    there.

    Arguments:
        b: where spread and step are known, (some,).
        spread, step: (some, rows).
        temperatures: T.

    Example:
        >>> b = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> spaced(b, torch.ones(5, 1), torch.ones(5, 1), 2).b.T
        tensor([[0.0000, 0.5000, 1.0000]], dtype=torch.float64)
    """
    speed = spread.double().nan_to_num(0.0, 0.0, 0.0)
    speed = speed + EVEN * speed.mean(0) + 1e-9
    pieces = 0.5 * (speed[1:] + speed[:-1]) * b.diff().unsqueeze(1)
    reached = torch.cat([torch.zeros_like(pieces[:1]), pieces.cumsum(0)])
    wanted = (
        torch.linspace(0, 1, temperatures + 1, dtype=b.dtype, device=b.device).unsqueeze(1)
        * reached[-1]
    )
    above = torch.searchsorted(reached.T.contiguous(), wanted.T.contiguous()).T.clamp(1, len(b) - 1)
    low, high = reached.gather(0, above - 1), reached.gather(0, above)
    share = ((wanted - low) / (high - low)).clamp(0, 1)
    ladder_b = b[above - 1].lerp(b[above], share)
    log_step = (
        step.log().gather(0, above - 1).lerp(step.log().gather(0, above), share.to(step.dtype))
    )
    return Ladder(ladder_b, log_step.exp())
