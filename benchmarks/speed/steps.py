"""The first table: an epoch of training."""

import statistics
from collections.abc import Sequence

from benchmarks.speed import by_hand, ours, peers, with_pyro
from benchmarks.speed.clock import Run, operations, ratio, take_turns
from benchmarks.speed.sizes import SIZES, Size


def contestants(size: Size, others: Sequence[str]) -> dict[str, Run]:
    """All that make the same epoch."""
    return {
        **by_hand.contestants(size),
        **with_pyro.contestants(size),
        **peers.contestants(size, others),
        **ours.contestants(size),
    }


def line(name: str, seconds: Sequence[float], unit: Sequence[float], steps: int) -> str:
    """Milliseconds a step; the ratio to the unit, with its quartiles."""
    milliseconds = 1e3 * statistics.median(seconds) / steps
    return f"{name:<42}{milliseconds:>9.3f}{ratio(seconds, unit)}"


def print_steps(
    name: str, parts: Sequence[str], others: Sequence[str], rounds: int
) -> None:
    """The table of a size, with richer parts for M."""
    size = SIZES[name]
    first = contestants(size, others)
    richer = ours.richer(size, parts if name == "M" else ())
    times, rates = take_turns({**first, **richer}, rounds)
    gigaflops = statistics.median(rates) / 1e9
    print(f"\n{name}: {size}, epochs of {size.steps} steps, {gigaflops:.0f} GFLOP/s")
    print(f"{'':<42}{'ms a step':>9}{'ratio':>8}{'quartiles':>13}{'ours to it':>15}")
    unit = times[by_hand.UNIT]
    best = times[ours.COMPILED]

    def floor(run: Run) -> list[float]:
        count = operations(run)
        return [count / rate for rate in rates]

    times["floor"] = floor(first[by_hand.UNIT])
    for one in [*first, "floor"]:
        compared = ratio(best, times[one]).median
        print(f"{line(one, times[one], unit, size.steps)}{compared:>8.2f}", flush=True)
    for one, run in richer.items():
        print(line(one, times[one], unit, size.steps), flush=True)
        if one.endswith("eager"):
            limit = one.replace("eager", "floor")
            print(line(limit, floor(run), unit, size.steps), flush=True)
