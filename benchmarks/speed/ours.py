"""The loop of `fit`."""

from collections.abc import Sequence
from typing import Literal

import torch

from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import PLAIN, RICHER, Size
from pyro_vae import VAE
from pyro_vae.data import ArrayRows, Placement
from pyro_vae.objectives import Objective
from pyro_vae.training import FitOptions, State
from pyro_vae.training.epoch import TOGETHER
from pyro_vae.training.run import MetricMeans
from pyro_vae.training.step_choice import stepper
from pyro_vae.training.train_step import ScheduleValues

COMPILED = "ours, compiled"
CPU = torch.device("cpu")
How = Literal["off", "replay", "step"]
WAYS: dict[str, How] = {"eager": "off", "replayed": "replay", "compiled": "step"}


def train(
    vae: VAE,
    how: How,
    size: Size,
    objective: Objective = PLAIN,
    missing: float = 0.0,
    device: torch.device = CPU,
) -> Run:
    """An epoch of a long `fit`, whose steps are made so.

    `missing` is the share of the cells that are.
    """
    vae.to(device)
    x = size.rows().reshape(-1, *vae.spec.data_shape)
    if missing:
        hidden = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
        x = torch.where(hidden < missing, torch.nan, x)
    rows = ArrayRows(x, Placement(device))
    order = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    state = State(vae, objective, optimizer)
    move = stepper(
        FitOptions(compile=how, batch_size=size.batch_size), optimizer, 1_000_000
    )

    def run() -> None:
        nonlocal state
        means = MetricMeans()
        for stack in rows.stacks(size.batch_size, TOGETHER, order):
            values = [ScheduleValues.of(state)] * len(stack)
            state, metrics = move(state, stack, values)
            means.add(metrics, stack.shape[1])
        means.compute()

    return run


def contestants(size: Size) -> dict[str, Run]:
    return {
        "ours, eager": train(size.vae(), "off", size),
        "ours, replayed": train(size.vae(), "replay", size),
        COMPILED: train(size.vae(), "step", size),
    }


def richer(size: Size, names: Sequence[str]) -> dict[str, Run]:
    """Richer parts, in each of our ways."""
    runs: dict[str, Run] = {}
    for name in names:
        one = RICHER[name]
        for word, how in WAYS.items():
            vae = size.vae(**one.parts)
            runs[f"{name}, {word}"] = train(vae, how, size, one.objective, one.missing)
    return runs
