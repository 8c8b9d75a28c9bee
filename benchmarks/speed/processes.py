"""An epoch of `fit` in one process and in two, which share the cores of a machine.

    python -m benchmarks.speed.processes                      # eager and compiled, sizes M and L
    python -m benchmarks.speed.processes --sizes L --how step

Two processes are there to save time on the clock, of which the table has the fastest epoch and the
median. A machine that does other work too disturbs both; processor time of the first process is the
better one then, but lacks what a process waits for another. `fit` is the same call in both, with
the same number of rows in a step of all.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.speed.sizes import SIZES
from pyro_vae.distributed.process_group import is_first, joined
from pyro_vae.training import fit

BATCH_SIZE = 512
ROWS = 32 * BATCH_SIZE
STEPS = {"off": "eager", "step": "compiled"}
"""The options `compile` of `fit` that are compared, and their names in the table."""


def work(name: str, how: str, epochs: int) -> None:
    """Print the seconds of each epoch but the first, of clock and processor, as JSON."""
    size = SIZES[name]
    rows = size.rows()
    rows = rows.repeat(1 + ROWS // len(rows), 1)[:ROWS]
    ends: list[float] = []
    with joined():
        run = fit(
            size.vae(),
            rows,
            epochs=epochs + 1,
            batch_size=BATCH_SIZE,
            compile=how,
            validation=None,
            callbacks=[lambda row: ends.append(time.process_time())],
            progress=False,
        )
        if is_first():
            clock = [row["seconds"] for row in run.history[1:]]
            pairs = zip(clock, np.diff(ends).tolist(), strict=True)
            print(json.dumps(list(pairs)))


def measured(processes: int, name: str, how: str, epochs: int) -> np.ndarray:
    """The seconds of the epochs in so many processes of one thread each, (epochs, 2)."""
    start = [sys.executable, "-W", "ignore"]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone"]
        start += ["--nproc-per-node", str(processes)]
    command = ["-m", "benchmarks.speed.processes", "--work", name, how, str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start, *command], capture_output=True, text=True, check=True, env=environment
    )
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print a line for each size and way to make steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["M", "L"], choices=SIZES)
    parser.add_argument("--how", nargs="*", default=["off", "step"], choices=STEPS)
    parser.add_argument("--epochs", type=int, default=10, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        name, how, epochs = options.work
        work(name, how, int(epochs))
        return
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, batch {BATCH_SIZE}")
    print(
        f"{'net':<6}{'steps':<10}{'one':>9}{'two':>9}{'ratio':>8}{'median':>8}{'processor':>11}"
    )
    for name in options.sizes:
        for how in options.how:
            rounds = [
                [measured(count, name, how, options.epochs) for count in (1, 2)]
                for _ in range(options.rounds)
            ]
            one, two = map(np.concatenate, zip(*rounds, strict=True))
            print(line(name, how, one, two), flush=True)


def line(name: str, how: str, one: np.ndarray, two: np.ndarray) -> str:
    """The fastest epochs and their ratio, and the ratios of the medians of both times."""
    fastest = [float(seconds[:, 0].min()) for seconds in (one, two)]
    clock, processor = np.median(two, 0) / np.median(one, 0)
    return (
        f"{name:<6}{STEPS[how]:<10}{fastest[0]:>7.3f} s{fastest[1]:>7.3f} s"
        f"{fastest[1] / fastest[0]:>8.2f}{clock:>8.2f}{processor:>11.2f}"
    )


if __name__ == "__main__":
    main()
