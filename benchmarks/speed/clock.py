"""Contestants take turns; ratios compare what ran in the same round."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

Run = Callable[[], object]
Times = dict[str, list[float]]

SIDE = 1024
"""Rows and columns of the matrices whose product tells the rate of the machine."""
PRODUCTS = 8
"""Products of them, so that a moment of other work counts less."""


class Ratio(NamedTuple):
    """The median over the rounds, and the quartiles."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:>8.2f}{self.low:>9.2f} to {self.high:<6.2f}"


def ratio(seconds: Sequence[float], unit: Sequence[float]) -> Ratio:
    """Of two that took turns."""
    low, middle, high = statistics.quantiles(
        (one / other for one, other in zip(seconds, unit, strict=True)), n=4
    )
    return Ratio(low, middle, high)


def take_turns(runs: Mapping[str, Run], rounds: int) -> tuple[Times, list[float]]:
    """The seconds of each run in each round, after two that warm up; and the operations a second of
    each round.
    """
    left, right = torch.rand(2, SIDE, SIDE)
    for run in [*runs.values(), *runs.values()]:
        run()
    times: Times = {name: [] for name in runs}
    rates = []
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
        rates.append(
            PRODUCTS * 2 * SIDE**3 / seconds(lambda: [left @ right for _ in range(PRODUCTS)])
        )
    return times, rates


def seconds(run: Run) -> float:
    """Of the processor on one thread, which other processes disturb less; else of the wall."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    run()
    return clock() - began


def operations(run: Run) -> float:
    """Floating-point operations of the matrix products of a run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
