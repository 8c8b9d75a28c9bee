"""What a checkpoint, its checksums and the start of a run cost, beside an epoch.

The net is gated, 784-300-300-40.

python -m benchmarks.checkpoint_cost
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import pyro_vae as pv
from pyro_vae.checksums import content_sha256
from pyro_vae.data import Splits
from pyro_vae.experiment.claim import claimed
from pyro_vae.experiment.description import EvaluateOptions, Experiment
from pyro_vae.experiment.evaluation import check_options
from pyro_vae.experiment.room import require_room
from pyro_vae.experiment.splits import ExperimentRows
from pyro_vae.experiment.target import Target
from pyro_vae.saving import described
from pyro_vae.training import checkpoint, loop
from pyro_vae.training.row_digest import RowDigest

ROWS = 50_000
"""Of MNIST's training rows: an epoch of 391 steps."""


def net() -> pv.VAE:
    """784 bits, two gated layers of 300 units each way, 40 latent numbers."""
    gated = {"kind": "gated_mlp", "hidden_dims": (300, 300)}
    return pv.VAE(
        data_shape=(784,),
        latent_dim=40,
        likelihood="bernoulli",
        encoder=gated,
        decoder=gated,
    )


def least(rounds: int, act: Callable[[], object]) -> float:
    """The least seconds of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return min(times)


def start(folder: Path, vae: pv.VAE, x: np.ndarray) -> None:
    """The lock of a run and the checks before its first step, but for the pass over the rows."""
    with claimed(folder / "start"):
        target = Target(folder / "start")
        target.require_free()
        check_options(vae, x, EvaluateOptions())
        none = Splits("rows", x, None, x[:1000], None)
        rows = ExperimentRows(none, None, np.arange(1000))
        require_room(target.folder, vae, Experiment(), rows)
        target.begin(described(vae, {}))
        target.forget()


class Kept(checkpoint.Checkpoint):
    """The checkpoint of the last run, to be written again."""

    last: "Kept"

    def read(self) -> None:
        Kept.last = self


def main(arguments: list[str] | None = None) -> None:
    """Print the milliseconds of each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    x = (np.random.default_rng(0).random((6400, 784)) < 0.2).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        loop.Checkpoint = Kept  # type: ignore[misc]
        path = Path(folder) / "run"
        vae = net()
        run = pv.fit(vae, x, epochs=2, validation=None, checkpoint=path, compile="off")
        seconds = min(row["seconds"] for row in run.history)
        epoch = seconds * ROWS / len(x)
        kept = Kept.last
        kept.training.run.remember()
        kept.write(last=True)
        tensors = kept._tensors()
        size = path.stat().st_size / 1e6
        parts = {
            "write": least(options.rounds, lambda: kept.write(last=True)),
            "of which SHA-256": least(
                options.rounds, lambda: content_sha256(tensors, "")
            ),
            "read and verify": least(options.rounds, kept._load),
        }
        begin = least(options.rounds, lambda: start(Path(folder), vae, x))
        rows = torch.from_numpy(x)
        digest = least(options.rounds, lambda: RowDigest().update(rows))
    print(f"checkpoint of {size:.1f} MB, an epoch of {ROWS} rows takes {epoch:.1f} s")
    for name, spent in parts.items():
        print(f"  {name:<20}{1e3 * spent:8.1f} ms{spent / epoch:8.2%} of an epoch")
    print(f"  {'lock and checks':<20}{1e3 * begin:8.1f} ms, once")
    all_rows = digest * ROWS / len(x)
    print(f"  {'hash of all rows':<20}{1e3 * all_rows:8.1f} ms, once")


if __name__ == "__main__":
    main()
