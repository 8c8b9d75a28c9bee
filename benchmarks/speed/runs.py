"""The table of whole runs: a program that fits one model, from its start to its end.

Each run is a process of its own, so that imports and compiling count: by hand, importing torch
alone; ours as `fit` chooses, eager, and compiled with an empty cache of the compiler and again.
"""

import inspect
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.speed.by_hand import HandWritten, net
from benchmarks.speed.sizes import SIZES, Size

STEPS = (2000, 10_000)
BATCHES = 50
"""Batches in the rows of a run; more steps are more epochs."""
NAMES = ("by hand", "auto", "off", "step, first", "step, again")

HAND_WRITTEN = """
from __future__ import annotations
from itertools import pairwise
from types import SimpleNamespace
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

{classes}

torch.set_num_threads(1)
size = SimpleNamespace(encoder={encoder}, decoder={decoder})
rows = (torch.rand({rows}, {data_dim}) < 0.3).float()
loss = HandWritten(size)
optimizer = torch.optim.Adam(loss.parameters(), fused=True)
for epoch in range({epochs}):
    for index in torch.randperm(len(rows)).split({batch_size}):
        value = loss(rows[index])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
"""

OURS = """
import torch
import pyro_vae as pv
torch.set_num_threads(1)
rows = (torch.rand({rows}, {data_dim}) < 0.3).float()
vae = pv.VAE(
    data_shape=({data_dim},), latent_dim={latent_dim}, hidden_dims={hidden_dims},
    activation="tanh", likelihood="bernoulli", seed=0,
)
pv.fit(
    vae, rows, epochs={epochs}, batch_size={batch_size}, validation=None, compile={compile!r},
    progress=False, seed=0,
)
"""


class Cost(NamedTuple):
    """Seconds of a process and its children: of the processor, and of the clock."""

    processor: float
    clock: float

    def __str__(self) -> str:
        return f"{self.processor:.1f} ({self.clock:.1f})"


def by_hand(size: Size, steps: int) -> str:
    """A program that imports torch alone."""
    return HAND_WRITTEN.format(
        classes=inspect.getsource(net) + "\n\n" + inspect.getsource(HandWritten),
        encoder=size.encoder,
        decoder=size.decoder,
        rows=BATCHES * size.batch_size,
        data_dim=size.data_dim,
        batch_size=size.batch_size,
        epochs=steps // BATCHES,
    )


def ours(size: Size, steps: int, compile: str) -> str:
    """The same net and the same number of steps by `fit`."""
    return OURS.format(
        rows=BATCHES * size.batch_size,
        data_dim=size.data_dim,
        latent_dim=size.latent_dim,
        hidden_dims=size.hidden_dims,
        batch_size=size.batch_size,
        epochs=steps // BATCHES,
        compile=compile,
    )


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
    subprocess.run(command, env=environment, check=True)
    return Cost(_of_children() - before, time.perf_counter() - began)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_runs(sizes: Sequence[str]) -> None:
    """Print the seconds of each run."""
    print("\nwhole runs, seconds of the processor (of the clock), one thread")
    print(f"{'size, steps':<16}" + "".join(f"{name:>16}" for name in NAMES))
    for name in sizes:
        for steps in STEPS:
            with tempfile.TemporaryDirectory() as folder:
                print(f"{name + ', ' + str(steps):<16}", end="")
                print(_cells(SIZES[name], steps, folder), flush=True)


def _cells(size: Size, steps: int, folder: str) -> str:
    programs = [
        by_hand(size, steps),
        ours(size, steps, "auto"),
        ours(size, steps, "off"),
        ours(size, steps, "step"),
        ours(size, steps, "step"),
    ]
    # the second of the last two finds what the first has compiled
    caches = [f"{folder}/{number}" for number in (0, 1, 2, 3, 3)]
    found = [cost(*pair) for pair in zip(programs, caches, strict=True)]
    return "".join(f"{each!s:>16}" for each in found)
