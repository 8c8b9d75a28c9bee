"""The table of whole runs: a program that fits one model, from its start to its end.

Each run is a process of its own, so that imports and compiling count: by hand, importing torch
alone; ours as `fit` chooses, eager, and compiled with an empty cache of the compiler and again;
NumPyro's scanned epoch, and pythae's trainer, where they are installed.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from benchmarks.speed import programs
from benchmarks.speed.sizes import SIZES, Size

STEPS = (2000, 10_000)
OURS = {"auto": "auto", "off": "off", "step, first": "step", "step, again": "step"}
"""The names of our runs, and their options `compile`; "again" has the cache of "first"."""
PEERS = {"NumPyro": "numpyro", "pythae": "pythae"}
"""The names of other packages, and of their modules."""


class Cost(NamedTuple):
    """Seconds of a process and its children: of the processor, and of the clock."""

    processor: float
    clock: float

    def __str__(self) -> str:
        return f"{self.processor:.1f} ({self.clock:.1f})"


def cost(program: str, cache: str) -> Cost:
    """What a Python that runs a program takes, with a folder for what the compiler makes."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": cache,
    }
    before = _of_children()
    began = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Cost(_of_children() - before, time.perf_counter() - began)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_runs(sizes: Sequence[str], steps: Sequence[int] = STEPS) -> None:
    """Print the seconds of each run."""
    peers = [name for name, module in PEERS.items() if find_spec(module)]
    names = ["by hand", *OURS, *peers]
    print("\nwhole runs, seconds of the processor (of the clock), one thread")
    print(f"{'size, steps':<16}" + "".join(f"{name:>16}" for name in names))
    for name in sizes:
        for count in steps:
            with tempfile.TemporaryDirectory() as folder:
                print(f"{name}, {count:<{14 - len(name)}}", end="")
                print(_cells(SIZES[name], count, peers, folder), flush=True)


def _cells(size: Size, steps: int, peers: Sequence[str], folder: str) -> str:
    by_hand = cost(programs.by_hand(size, steps), folder)
    # the cache of a name up to its comma: the second "step" finds what the first has compiled
    ours = [
        cost(programs.ours(size, steps, how), f"{folder}/{name.partition(',')[0]}")
        for name, how in OURS.items()
    ]
    others = [cost(programs.PEERS[name](size, steps), folder) for name in peers]
    return "".join(f"{each!s:>16}" for each in [by_hand, *ours, *others])
