"""The second table: log p(x) by importance sampling."""

import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.clock import operations, ratio, take_turns
from benchmarks.speed.sizes import SIZES
from pyro_vae import evidence

PAIRS = 100_000
"""Of a row and a draw."""
ROOT = Path(__file__).parents[2]


def print_log_marginal(name: str, draws: Sequence[int], rounds: int) -> None:
    """Rows a second, beside what the decoder's products allow, and memory."""
    size = SIZES[name]
    vae, x = size.vae(), size.rows()
    print(f"\nlog p(x) by importance sampling, {size}")
    print(f"{'draws':>6}{'rows a second':>16}{'floor':>8}{'times the floor':>18}{'quartiles':>13}{'MiB':>9}")
    for count in draws:
        some = x[: math.ceil(PAIRS / count)]
        decoder = operations(lambda: vae.likelihood(x.new_zeros(1, size.latent_dim))) * count * len(some)
        times, rates = take_turns({"": lambda some=some, count=count: evidence(vae, some, num_particles=count)}, rounds)
        floors = [decoder / rate for rate in rates]
        speed, limit = (len(some) / statistics.median(seconds) for seconds in (times[""], floors))
        more = memory(name, count, len(some))
        print(f"{count:>6}{speed:>16.1f}{limit:>8.1f}{'':>10}{ratio(times[''], floors)}{more:>7}", flush=True)


def memory(name: str, draws: int, rows: int) -> str:
    """What it takes beyond the model and the rows, in MiB, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", name, str(draws), str(rows)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
