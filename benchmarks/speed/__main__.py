"""The time of a training step and of log p(x), compared with other packages and the machine.

    python -m benchmarks.speed                          # all tables
    python -m benchmarks.speed --tables steps --sizes S --rounds 50
    python -m benchmarks.speed --tables steps --sizes M --richer vamp --peers

All contestants train the same nets on the same rows with the same batches and Adam, in one process;
NumPyro, pythae and pyroVED take part where they are installed. An epoch is one pass over the rows.
Batches are cut by index from one tensor and Adam is fused, but for what says otherwise: Pyro's SVI
and the other packages have optimizers of their own, and so has the loop that most people write.
Pyro's validation is off. They take turns, one epoch in each round, after two that warm up and
compile; on one thread the clock is processor time, which other processes disturb less.

A ratio compares with the hand-written epoch of the same round; the table has the median over the
rounds, the quartiles, and the ratio of our compiled epoch to each. The floor is the operations of
the matrix products alone, at the rate of a product of two large matrices in the same round.
"""

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyro
import torch

from benchmarks.speed.compiling import print_compiling
from benchmarks.speed.growth import print_growth
from benchmarks.speed.log_marginal import print_log_marginal
from benchmarks.speed.peers import PEERS, versions
from benchmarks.speed.products import print_products
from benchmarks.speed.runs import STEPS, print_runs
from benchmarks.speed.sizes import RICHER, SIZES
from benchmarks.speed.steps import print_steps

TABLES = ("steps", "evidence", "growth", "runs", "compiling", "products")


def make_parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tables",
        nargs="*",
        choices=TABLES,
        default=TABLES,
        help="which (default: all)",
    )
    parser.add_argument(
        "--sizes",
        nargs="*",
        choices=SIZES,
        default=list(SIZES),
        help="of the steps (default: all)",
    )
    parser.add_argument(
        "--richer",
        nargs="*",
        choices=RICHER,
        default=list(RICHER),
        help="parts for M (default: all)",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=PEERS,
        default=PEERS,
        help="other packages (default: all)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        help="of the steps; the rest takes a quarter (default: 20)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="*",
        default=STEPS,
        help=f"of whole runs (default: {' '.join(map(str, STEPS))})",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of torch, and one of XLA for one (default: 1)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    options = make_parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    fewer = max(3, options.rounds // 4)
    machine = f"{processor()}, {os.cpu_count()} cores, {options.threads} threads"
    print(f"{machine}, {date.today():%d %B %Y}")
    print(versions(), flush=True)
    with pyro.validation_enabled(False):
        for name in options.sizes if "steps" in options.tables else ():
            print_steps(name, options.richer, options.peers, options.rounds)
        if "evidence" in options.tables:
            print_log_marginal("M", (1000, 5000), fewer)
        if "growth" in options.tables:
            print_growth(SIZES["M"], fewer)
        if "runs" in options.tables:
            print_runs(options.sizes, options.steps)
        if "compiling" in options.tables:
            print_compiling()
        if "products" in options.tables:
            print_products(fewer)


def processor() -> str:
    """The name of the processor, with the vector instructions that torch takes."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} with {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    main()
