"""The table of compiling: what a compiled first step takes more than an eager one.

    python -m benchmarks.speed --tables compiling

Processor seconds, user and system, of a process and of the compilers that it starts, from the call
of the first step to its end, less those of an eager step: imports of the compiler, tracing, the
compiler's Python, g++, and the trial of the graph. Rows, model and an eager step are there before.
Adam follows the graph, as in a `fit` of a few thousand steps. Each column is a process of its own
but the two before the last, which go on in the one before: with an empty cache; another net with
that cache, and the same once more, each in a new process; another net and the same, in the same
process. The last column is what a step takes to be recorded and tried, instead of compiled.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import torch

from benchmarks.speed.sizes import RICHER, SIZES, Richer
from pyro_vae.compiler.foreign_code import where_allowed
from pyro_vae.training import State
from pyro_vae.training.compiled_step import CompiledStep
from pyro_vae.training.fused_adam import without_compiler
from pyro_vae.training.replay import Replay
from pyro_vae.training.train_step import step

NETS = ("S", "M", "M flow_guide", "M flow_prior")
BEFORE = {"S": "M", "M": "S", "M flow_guide": "M", "M flow_prior": "M"}
"""The net that has been compiled before, where one has."""
NAMES = ("first", "second", "again", "second, here", "again, here", "recorded")


def used() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    times = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(time.ru_utime + time.ru_stime for time in times)


def state_of(name: str) -> tuple[State, torch.Tensor]:
    """A net by its size and its richer part, and the rows of a step."""
    size, _, part = name.partition(" ")
    richer = RICHER[part] if part else Richer({})
    vae = SIZES[size].vae(**richer.parts)
    with without_compiler():
        optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    rows = SIZES[size].rows()[: SIZES[size].batch_size]
    return State(vae, richer.objective, optimizer), rows


def extra(name: str) -> float:
    """What the first compiled step of a net takes more than an eager step."""
    state, rows = state_of(name)
    state, _ = step(state, rows)
    began = used()
    state, _ = step(state, rows)
    eager = used() - began
    move = CompiledStep(by_kernel=True)
    began = used()
    move(state, rows)
    seconds = used() - began - eager
    if move._one is None:
        raise RuntimeError(f"{name}: the step was not compiled")
    return seconds


def recorded(name: str) -> float:
    """What recording the step of a net and trying it takes."""
    state, rows = state_of(name)
    state, _ = step(state, rows)
    began = used()
    replay = where_allowed(partial(Replay, state, rows), with_foreign_code=False)
    if replay is None or replay.program is None:
        raise RuntimeError(f"{name}: the step was not recorded")
    replay.trial(state, rows)
    return used() - began


def in_a_process(names: Sequence[str], cache: str) -> list[float]:
    """The seconds of each net, one after the other in a process, with a folder of the compiler."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYRO_VAE_GRAPHS"
    }
    environment |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.speed.compiling"]
    done = subprocess.run(
        [*command, *names], env=environment, capture_output=True, text=True, check=True
    )
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def row(name: str) -> list[float]:
    """The seconds of a net in the order of `NAMES`."""
    before = BEFORE[name]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        (first,) = in_a_process([name], one)
        in_a_process([before], other)
        (second,) = in_a_process([name], other)
        (again,) = in_a_process([name], other)
    with tempfile.TemporaryDirectory() as cache:
        _, here, here_again = in_a_process([before, name, name], cache)
    return [first, second, again, here, here_again, recorded(name)]


def print_compiling(nets: Sequence[str] = NETS) -> None:
    """Print the seconds of each net."""
    print("\ncompiling, processor seconds more than an eager step, one thread")
    print(f"{'net':<16}" + "".join(f"{name:>14}" for name in NAMES))
    for name in nets:
        cells = "".join(f"{seconds:>14.2f}" for seconds in row(name))
        print(f"{name:<16}{cells}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([extra(name) for name in sys.argv[1:]]))
