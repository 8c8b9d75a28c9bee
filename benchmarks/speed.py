"""The time of a training step, and of log p(x), beside what others take and what the machine could do.

    python -m benchmarks.speed                        # three sizes, in some minutes
    python -m benchmarks.speed --sizes S --rounds 50
    python -m benchmarks.speed --sizes M --richer vamp --long  # log p(x) with 5000 draws too

All contestants make the same steps on the same rows in one process: batches are cut by index from one tensor, Adam is
fused (but for Pyro's SVI, which has an optimizer for each parameter), and validation is off. They take turns, one short
run in each round; on one thread the clock is the processor's, which other processes disturb less. A ratio compares with
the hand-written step of the same round; the table has the median over the rounds and the quartiles. The floor is the
operations of the matrix products alone, at the rate of a product of two large matrices in the same round.
"""

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.utils.flop_counter import FlopCounterMode

from pyro_vae import VAE, evidence
from pyro_vae.data import ArrayRows, Target
from pyro_vae.objectives import ELBO, IWAE, Objective
from pyro_vae.training import CompiledStep, State, step
from pyro_vae.training.run import Means
from pyro_vae.training.step import Step

VAMP = {"kind": "vamp", "pseudo_inputs": 500}
FLOW = {"kind": "flow", "transform": "realnvp", "transforms": 8, "hidden_dims": (128, 128)}

Run = Callable[[], object]
Times = dict[str, list[float]]

UNIT = "hand-written, eager"
SIDE = 1024
"""Rows and columns of the matrices whose product tells the rate of the machine."""
PLAIN = ELBO()
FLOW_GUIDE = {"kind": "flow", "transforms": 2, "hidden_dims": (256,)}
RICHER: dict[str, tuple[dict[str, Any], Objective]] = {
    "vamp": ({"prior": VAMP}, PLAIN),
    "flow_prior": ({"prior": FLOW}, PLAIN),
    "flow_guide": ({"guide": FLOW_GUIDE}, PLAIN),
    "iwae_5": ({}, IWAE(num_particles=5)),
}


@dataclass(frozen=True)
class Size:
    """A net, the rows of a batch, and the steps of one run."""

    data_dim: int
    hidden_dims: tuple[int, ...]
    latent_dim: int
    batch_size: int
    steps: int

    def __str__(self) -> str:
        return f"{'-'.join(map(str, (self.data_dim, *self.hidden_dims, self.latent_dim)))}, batch {self.batch_size}"

    def rows(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return (torch.rand(self.steps * self.batch_size, self.data_dim, generator=generator) < 0.3).float()

    def vae(self, **parts: Any) -> VAE:
        net: dict[str, Any] = {"hidden_dims": self.hidden_dims, "activation": "tanh", "standardize": "none"}
        return VAE(data_shape=(self.data_dim,), latent_dim=self.latent_dim, likelihood="bernoulli", **net, **parts)


SIZES = {
    "S": Size(64, (64,), 2, 100, steps=50),
    "M": Size(784, (200, 200), 50, 100, steps=20),
    "L": Size(784, (400,), 20, 256, steps=8),
}


class HandWritten(nn.Module):
    """The same net and the same loss without Pyro: x -> the mean of distortion and KL over the rows."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        widths = (size.data_dim, *size.hidden_dims)
        self.encoder = nn.Sequential(*_layers(widths))
        self.head = nn.Linear(widths[-1], 2 * size.latent_dim)
        back = (size.latent_dim, *size.hidden_dims[::-1])
        self.decoder = nn.Sequential(*_layers(back), nn.Linear(back[-1], size.data_dim))

    def forward(self, x: Tensor) -> Tensor:
        loc, raw_scale = self.head(self.encoder(x)).chunk(2, -1)
        scale = softplus(raw_scale) + 1e-4
        z = loc + scale * torch.randn_like(loc)
        distortion = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
        rate = 0.5 * (scale * scale + loc * loc - 1 - 2 * scale.log()).sum(-1)
        return (distortion + rate).mean()


def _layers(widths: Sequence[int]) -> list[nn.Module]:
    return [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]


def by_hand(loss: nn.Module, program: Callable[[Tensor], Tensor], size: Size) -> Run:
    """The loop that people write; `program` computes the loss of the module."""
    x, optimizer = size.rows(), torch.optim.Adam(loss.parameters(), fused=True)

    def run() -> None:
        order = torch.randperm(len(x))
        for start in range(0, len(x), size.batch_size):
            value = program(x[order[start : start + size.batch_size]])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()

    return run


def by_svi(vae: VAE, size: Size) -> Run:
    """The loop of Pyro's tutorials."""
    x, svi = size.rows(), SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())

    def run() -> None:
        order = torch.randperm(len(x))
        for start in range(0, len(x), size.batch_size):
            svi.step(x[order[start : start + size.batch_size]])

    return run


def by_us(vae: VAE, move: Step, size: Size, objective: Objective = PLAIN) -> Run:
    """The loop of `fit`."""
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
    """All that make the same step."""
    plain, compiled = HandWritten(size), HandWritten(size)
    program: Any = Trace_ELBO()((own := size.vae()).model, own.guide)
    return {
        UNIT: by_hand(plain, plain, size),
        "hand-written, torch.compile": by_hand(compiled, torch.compile(compiled), size),
        "Pyro, SVI with Trace_ELBO": by_svi(size.vae(), size),
        "Pyro, ELBOModule": by_hand(program, program, size),
        "ours, eager": by_us(size.vae(), step, size),
        "ours, compiled": by_us(size.vae(), CompiledStep(), size),
    }


def richer(size: Size, names: Sequence[str]) -> dict[str, Run]:
    """Richer parts, eager and compiled."""
    return {
        f"{name}, {how}": by_us(size.vae(**parts), move, size, objective)
        for name, (parts, objective) in ((name, RICHER[name]) for name in names)
        for how, move in (("eager", step), ("compiled", CompiledStep()))
    }


def operations(run: Run) -> float:
    """Floating-point operations of the matrix products of a run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def take_turns(runs: Mapping[str, Run], rounds: int) -> tuple[Times, list[float]]:
    """The seconds of each run in each round, after two that warm up; and the operations a second of each round."""
    left, right = torch.rand(2, SIDE, SIDE)
    for run in [*runs.values(), *runs.values()]:
        run()
    times: Times = {name: [] for name in runs}
    rates = []
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(_seconds(run))
        rates.append(2 * SIDE**3 / _seconds(lambda: left @ right))
    return times, rates


def _seconds(run: Run) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    run()
    return clock() - began


def line(name: str, seconds: Sequence[float], unit: Sequence[float], steps: int) -> str:
    """Milliseconds a step; the ratio to the unit, with its quartiles."""
    ratios = [one / other for one, other in zip(seconds, unit, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{name:<42}{1e3 * statistics.median(seconds) / steps:>9.3f}{middle:>8.2f}{low:>9.2f} to {high:.2f}"


def print_steps(name: str, parts: Sequence[str], rounds: int) -> None:
    """The table of a size, with richer parts for M."""
    size = SIZES[name]
    first, more = contestants(size), richer(size, parts if name == "M" else ())
    runs = {**first, **more}
    times, rates = take_turns(runs, rounds)
    print(f"\n{name}: {size}, one training step, {statistics.median(rates) / 1e9:.0f} GFLOP/s")
    print(f"{'':<42}{'ms':>9}{'ratio':>8}{'quartiles':>13}")
    unit = times[UNIT]

    def floor(run: Run) -> list[float]:
        count = operations(run)
        return [count / rate for rate in rates]

    for one in first:
        print(line(one, times[one], unit, size.steps))
    print(line("floor", floor(first[UNIT]), unit, size.steps), flush=True)
    for one in more:
        print(line(one, times[one], unit, size.steps))
        if one.endswith("eager"):
            print(line(one.replace("eager", "floor"), floor(runs[one]), unit, size.steps), flush=True)


def print_evidence(size: Size, draws: Sequence[int], rounds: int) -> None:
    """Rows a second of log p(x), beside what the decoder's products allow."""
    vae, x = size.vae(), size.rows()
    print(f"\nlog p(x) by importance sampling, {size}")
    print(f"{'draws':>6}{'rows a second':>16}{'floor':>8}{'times the floor':>18}{'quartiles':>16}")
    for count in draws:
        some = x[: math.ceil(100_000 / count)]
        decoder = operations(lambda: vae.likelihood(torch.zeros(1, size.latent_dim))) * count * len(some)
        times, rates = take_turns({"": lambda some=some, count=count: evidence(vae, some, num_particles=count)}, rounds)
        floors = [decoder / rate for rate in rates]
        ratios = [taken / floor for taken, floor in zip(times[""], floors, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        speed, limit = (len(some) / statistics.median(seconds) for seconds in (times[""], floors))
        print(f"{count:>6}{speed:>16.1f}{limit:>8.1f}{middle:>18.2f}{low:>9.2f} to {high:.2f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES), help="which (default: all)")
    parser.add_argument("--richer", nargs="*", choices=RICHER, default=list(RICHER), help="parts for M (default: all)")
    parser.add_argument("--rounds", type=int, default=20, help="of the steps; log p(x) takes a quarter (default: 20)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--long", action="store_true", help="log p(x) with 5000 draws too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pyro.clear_param_store()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} on {options.threads} threads"
    print(f"{machine}, {date.today():%d %B %Y}", flush=True)
    with pyro.validation_enabled(False):
        for name in options.sizes:
            print_steps(name, options.richer, options.rounds)
        if "M" in options.sizes:
            print_evidence(SIZES["M"], (1000, 5000) if options.long else (1000,), max(2, options.rounds // 4))


if __name__ == "__main__":
    main()
