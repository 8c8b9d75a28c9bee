"""The loop of `fit`."""

from collections.abc import Sequence

import torch

from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import PLAIN, RICHER, Size
from pyro_vae import VAE
from pyro_vae.data import ArrayRows, Target
from pyro_vae.objectives import Objective
from pyro_vae.training import CompiledStep, State
from pyro_vae.training.fit import TOGETHER, Moves
from pyro_vae.training.run import Means
from pyro_vae.training.step import Pace, steps

COMPILED = "ours, compiled"


def train(vae: VAE, move: Moves, size: Size, objective: Objective = PLAIN) -> Run:
    """An epoch of `fit`."""
    rows, order = ArrayRows(size.rows(), Target()), torch.Generator().manual_seed(0)
    state = State(vae, objective, torch.optim.Adam(vae.parameters(), fused=True))

    def run() -> None:
        nonlocal state
        means = Means()
        for stack in rows.stacks(size.batch_size, TOGETHER, order):
            state, told = move(state, stack, [Pace.of(state)] * len(stack))
            means.add(told, stack.shape[1])
        means.now()

    return run


def contestants(size: Size) -> dict[str, Run]:
    return {"ours, eager": train(size.vae(), steps, size), COMPILED: train(size.vae(), CompiledStep().steps, size)}


def richer(size: Size, names: Sequence[str]) -> dict[str, Run]:
    """Richer parts, eager and compiled."""
    return {
        f"{name}, {how}": train(size.vae(**parts), move, size, objective)
        for name, (parts, objective) in ((name, RICHER[name]) for name in names)
        for how, move in (("eager", steps), ("compiled", CompiledStep().steps))
    }
