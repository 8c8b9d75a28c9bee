"""Contestants take turns; ratios compare what ran in the same round."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pyro_vae.compiler import products

Run = Callable[[], object]
Times = dict[str, list[float]]

SIDE = 1024
"""Rows and columns of the matrices whose product measures the rate of the machine."""
PRODUCTS = 8
"""How often they are multiplied, so that a short interruption counts less."""


def by_mkl(left: Tensor, right: Tensor) -> Tensor:
    """A B, as torch multiplies."""
    return left @ right


class Ratio(NamedTuple):
    """The median over the rounds, and the quartiles."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:>8.2f}{self.low:>9.2f} to {self.high:<6.2f}"


def ratio(seconds: Sequence[float], unit: Sequence[float]) -> Ratio:
    """The ratio of two that took turns."""
    ratios = [one / other for one, other in zip(seconds, unit, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Ratio(low, middle, high)


def take_turns(runs: Mapping[str, Run], rounds: int) -> tuple[Times, list[float]]:
    """The seconds of each run, and the operations a second of the machine, in each round.

    Two rounds before warm up.
    """
    left, right = torch.rand(2, SIDE, SIDE)
    multiply = products.by_onednn if products.library() == "onednn" else by_mkl

    def multiplied() -> object:
        return [multiply(left, right) for _ in range(PRODUCTS)]

    for run in [*runs.values(), *runs.values()]:
        run()
    times: Times = {name: [] for name in runs}
    rates = []
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
        rates.append(PRODUCTS * 2 * SIDE**3 / seconds(multiplied))
    return times, rates


def seconds(run: Run) -> float:
    """Processor time on one thread, which other processes disturb less; otherwise wall time."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    run()
    return clock() - began


def operations(run: Run) -> float:
    """Floating-point operations of the matrix products of a run."""
    # torch counts its own products only
    with products.multiplied_by("mkl"), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
