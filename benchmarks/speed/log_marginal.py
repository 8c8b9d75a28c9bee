"""The second table: log p(x) by importance sampling."""

import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from benchmarks.speed.clock import Run, operations, ratio, take_turns
from benchmarks.speed.sizes import SIZES
from pyro_vae import VAE, evidence

PAIRS = 2_000_000
"""Pairs of a row and a draw."""
ROOT = Path(__file__).parents[2]
HEADER = (
    f"{'draws':>6}{'':>10}{'rows a second':>15}{'floor':>8}"
    f"{'times the floor':>18}{'quartiles':>13}{'MiB':>9}"
)


def print_log_marginal(name: str, draws: Sequence[int], rounds: int) -> None:
    """Rows a second, beside what the decoder's matrix products allow, and memory."""
    size = SIZES[name]
    vae = size.vae()
    x = size.rows()
    one_draw = operations(lambda: vae.likelihood(x.new_zeros(1, size.latent_dim)))
    print(f"\nlog p(x) by importance sampling, {size}")
    print(HEADER)
    for count in draws:
        rows = x[: math.ceil(PAIRS / count)]
        runs = {
            "eager": job(vae, rows, count, "off"),
            "compiled": job(vae, rows, count, "on"),
        }
        times, rates = take_turns(runs, rounds)
        floors = [one_draw * count * len(rows) / rate for rate in rates]
        for mode, seconds in times.items():
            speed = len(rows) / statistics.median(seconds)
            limit = len(rows) / statistics.median(floors)
            slower = ratio(seconds, floors)
            mebibytes = memory(name, count, len(rows)) if mode == "eager" else ""
            numbers = f"{speed:>15.1f}{limit:>8.1f}{'':>10}{slower}{mebibytes:>7}"
            print(f"{count:>6}{mode:>10}{numbers}", flush=True)


def job(vae: VAE, rows: Tensor, draws: int, mode: Literal["on", "off"]) -> Run:
    """Importance sampling with compile="off" or "on"."""
    return lambda: evidence(
        vae, rows, num_particles=draws, compile=mode, method="importance"
    )


def memory(name: str, draws: int, rows: int) -> str:
    """The MiB beyond the model and the rows, measured in a separate process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.memory",
        name,
        str(draws),
        str(rows),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
