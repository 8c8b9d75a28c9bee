"""What a checkpoint and its checksums cost, beside an epoch of a gated 784-300-300-40 net.

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
        rows = torch.from_numpy(x)
        digest = least(options.rounds, lambda: RowDigest().update(rows))
    print(f"checkpoint of {size:.1f} MB, an epoch of {ROWS} rows takes {epoch:.1f} s")
    for name, spent in parts.items():
        print(f"  {name:<20}{1e3 * spent:8.1f} ms{spent / epoch:8.2%} of an epoch")
    all_rows = digest * ROWS / len(x)
    print(f"  {'hash of all rows':<20}{1e3 * all_rows:8.1f} ms, once")


if __name__ == "__main__":
    main()
