"""Runs that are killed at random times: what is lost each time, and whether the end is the same.

python -m benchmarks.kills                              50 eager, 20 compiled, at short intervals
python -m benchmarks.kills --interval 10 --eager 12 --compiled 0 --no-ends      that of `fit`
"""

import argparse
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

import pyro_vae as pv
from pyro_vae.training import checkpoint

ROWS = np.random.default_rng(0).normal(size=(640, 8)).astype(np.float32)
STEPS_PER_EPOCH = 5


class Progress:
    """The number of epochs done, in a file that outlives the process, written in place."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)
        self({"epoch": 0})

    def __call__(self, row: dict[str, Any]) -> None:
        os.pwrite(self.file, b"%9d" % int(row["epoch"]), 0)

    def read(self) -> int:
        return int(os.pread(self.file, 9, 0))


def train(folder: Path, compiled: bool, epochs: int) -> pv.VAE:
    """Train from the checkpoint in a folder, or from the start."""
    vae = pv.VAE(data_shape=(8,), latent_dim=2, hidden_dims=(16,))
    pv.fit(
        vae,
        ROWS,
        epochs=epochs,
        validation=None,
        compile="step" if compiled else "off",
        checkpoint=folder / "checkpoint",
        callbacks=[Progress(folder / "epochs")],
        progress=False,
    )
    return vae


def forked(folder: Path, compiled: bool, epochs: int) -> int:
    """The number of a process that trains."""
    child = os.fork()
    if child == 0:
        try:
            train(folder, compiled, epochs)
        finally:
            os._exit(0)
    return child


def history_of(folder: Path) -> list[dict[str, float]]:
    """The epochs that the checkpoint has."""
    with safe_open(folder / "checkpoint", "pt") as file:
        text = file.metadata()["pyro_vae"]
    history: list[dict[str, float]] = json.loads(text)["history"]
    return history


def kill_once(
    folder: Path, compiled: bool, epochs: int, rng: random.Random
) -> int | None:
    """Kill a run after some time of training; the steps that it had made and lost.

    None where it ended before.
    """
    progress = Progress(folder / "epochs")
    child = forked(folder, compiled, epochs)
    while progress.read() == 0 and os.waitpid(child, os.WNOHANG)[0] == 0:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 2.5 * checkpoint.SECONDS))
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ChildProcessError, ProcessLookupError):
        return None
    return STEPS_PER_EPOCH * (progress.read() - len(history_of(folder)))


def same_weights(one: pv.VAE, other: pv.VAE) -> bool:
    """Whether two models agree to the last bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def difference(one: pv.VAE, other: pv.VAE) -> float:
    """The largest difference of their weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((first - second).abs().max()) for first, second in pairs)


def trial(compiled: bool, kills: int, epochs: int, ends: bool) -> str:
    """A line on a run that is killed so often, and how it ends beside one in one piece."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as home:
        whole, broken = Path(home, "whole"), Path(home, "broken")
        whole.mkdir()
        broken.mkdir()
        expected = train(whole, compiled, epochs if ends else 200)
        seconds_per_step = seconds_of_a_step(whole)
        lost = [kill_once(broken, compiled, epochs, rng) for _ in range(kills)]
        steps = [one for one in lost if one is not None]
        verdict = ""
        if ends:
            again = train(broken, compiled, epochs)
            verdict = f"ends {difference(again, expected):.0e} away from unbroken"
            if same_weights(again, expected):
                verdict = "ends as unbroken, bit for bit"
    numbers = f"{median(steps):>9.0f}{max(steps):>9.0f}"
    seconds = [one * seconds_per_step for one in steps]
    numbers += f"{median(seconds):>9.2f}{max(seconds):>9.2f}"
    name = "compiled" if compiled else "eager"
    return f"{name:<9}{len(steps):>6}{numbers}   {verdict}"


def seconds_of_a_step(folder: Path) -> float:
    """Median seconds of a step in the epochs that the checkpoint has."""
    history = history_of(folder)
    return median(row["seconds"] for row in history) / STEPS_PER_EPOCH


def main(arguments: list[str] | None = None) -> None:
    """Print a line for eager and for compiled steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eager", type=int, default=50, help="kills")
    parser.add_argument("--compiled", type=int, default=20, help="kills")
    parser.add_argument("--interval", type=float, default=0.1, help="of checkpoints, s")
    parser.add_argument("--epochs", type=int, default=2500)
    parser.add_argument(
        "--ends",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the runs are brought to their end, and compared",
    )
    options = parser.parse_args(arguments)
    checkpoint.SECONDS = options.interval
    print(f"checkpoints {options.interval:g} s apart; lost after a kill:")
    print(f"{'':<9}{'kills':>6}{'steps':>9}{'most':>9}{'seconds':>9}{'most':>9}")
    for compiled, kills in ((False, options.eager), (True, options.compiled)):
        if kills:
            epochs = options.epochs if options.ends else 10**6
            print(trial(compiled, kills, epochs, options.ends), flush=True)


if __name__ == "__main__":
    main()
