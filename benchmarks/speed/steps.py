"""The first table: an epoch of training."""

import statistics
from collections.abc import Sequence

from benchmarks.speed import by_hand, ours, peers, with_pyro
from benchmarks.speed.clock import Run, operations, ratio, take_turns
from benchmarks.speed.sizes import SIZES, Size


def contestants(size: Size, others: Sequence[str]) -> dict[str, Run]:
    """All that make the same epoch."""
    runs = {
        **by_hand.contestants(size),
        **with_pyro.contestants(size),
        **peers.contestants(size, others),
    }
    return {**runs, **ours.contestants(size)}


def line(name: str, seconds: Sequence[float], unit: Sequence[float], steps: int) -> str:
    """Milliseconds a step; the ratio to the unit, with its quartiles."""
    return f"{name:<42}{1e3 * statistics.median(seconds) / steps:>9.3f}{ratio(seconds, unit)}"


def print_steps(name: str, parts: Sequence[str], others: Sequence[str], rounds: int) -> None:
    """The table of a size, with richer parts for M."""
    size = SIZES[name]
    first, more = contestants(size, others), ours.richer(size, parts if name == "M" else ())
    runs = {**first, **more}
    times, rates = take_turns(runs, rounds)
    print(
        f"\n{name}: {size}, epochs of {size.steps} steps, {statistics.median(rates) / 1e9:.0f} "
        "GFLOP/s"
    )
    print(f"{'':<42}{'ms a step':>9}{'ratio':>8}{'quartiles':>13}{'ours to it':>15}")
    unit, best = times[by_hand.UNIT], times[ours.COMPILED]

    def floor(run: Run) -> list[float]:
        count = operations(run)
        return [count / rate for rate in rates]

    times["floor"] = floor(first[by_hand.UNIT])
    for one in [*first, "floor"]:
        print(
            f"{line(one, times[one], unit, size.steps)}{ratio(best, times[one]).median:>8.2f}",
            flush=True,
        )
    for one in more:
        print(line(one, times[one], unit, size.steps), flush=True)
        if one.endswith("eager"):
            print(
                line(one.replace("eager", "floor"), floor(runs[one]), unit, size.steps), flush=True
            )
