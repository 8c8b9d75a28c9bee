"""The loop of `fit`."""

from collections.abc import Sequence

import torch

from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import PLAIN, RICHER, Size
from pyro_vae import VAE
from pyro_vae.data import ArrayRows, Target
from pyro_vae.objectives import Objective
from pyro_vae.training import CompiledStep, State, step
from pyro_vae.training.fit import Step
from pyro_vae.training.run import Means

COMPILED = "ours, compiled"


def train(vae: VAE, move: Step, size: Size, objective: Objective = PLAIN) -> Run:
    """An epoch of `fit`."""
    rows, order = ArrayRows(size.rows(), Target()), torch.Generator().manual_seed(0)
    state = State(vae, objective, torch.optim.Adam(vae.parameters(), fused=True))

    def run() -> None:
        nonlocal state
        means = Means()
        for batch in rows.batches(size.batch_size, order):
            state, info = move(state, batch)
            means.add(info, len(batch))
        means.now()

    return run


def contestants(size: Size) -> dict[str, Run]:
    return {"ours, eager": train(size.vae(), step, size), COMPILED: train(size.vae(), CompiledStep(), size)}


def richer(size: Size, names: Sequence[str]) -> dict[str, Run]:
    """Richer parts, eager and compiled."""
    return {
        f"{name}, {how}": train(size.vae(**parts), move, size, objective)
        for name, (parts, objective) in ((name, RICHER[name]) for name in names)
        for how, move in (("eager", step), ("compiled", CompiledStep()))
    }
