"""The second table: log p(x) by importance sampling."""

import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from benchmarks.speed.clock import Run, operations, ratio, take_turns
from benchmarks.speed.sizes import SIZES
from pyro_vae import evidence

PAIRS = 2_000_000
"""Of a row and a draw."""
ROOT = Path(__file__).parents[2]


def print_log_marginal(name: str, draws: Sequence[int], rounds: int) -> None:
    """Rows a second, beside what the decoder's products allow, and memory."""
    size = SIZES[name]
    vae, x = size.vae(), size.rows()
    print(f"\nlog p(x) by importance sampling, {size}")
    print(
        f"{'draws':>6}{'':>10}{'rows a second':>15}{'floor':>8}{'times the floor':>18}{'quartiles':>13}{'MiB':>9}"
    )
    for count in draws:
        some = x[: math.ceil(PAIRS / count)]
        decoder = (
            operations(lambda: vae.likelihood(x.new_zeros(1, size.latent_dim))) * count * len(some)
        )

        def job(how: str, some: Tensor = some, count: int = count) -> Run:
            return lambda: evidence(
                vae, some, num_particles=count, compile=how, method="importance"
            )

        times, rates = take_turns({"eager": job("off"), "compiled": job("on")}, rounds)
        floors = [decoder / rate for rate in rates]
        for how, taken in times.items():
            speed, limit = (len(some) / statistics.median(seconds) for seconds in (taken, floors))
            more = memory(name, count, len(some)) if how == "eager" else ""
            print(
                f"{count:>6}{how:>10}{speed:>15.1f}{limit:>8.1f}{'':>10}{ratio(taken, floors)}{more:>7}",
                flush=True,
            )


def memory(name: str, draws: int, rows: int) -> str:
    """What it takes beyond the model and the rows, in MiB, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", name, str(draws), str(rows)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
