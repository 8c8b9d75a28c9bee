"""The other quadrants of static binarized MNIST, given one, two or three of them.

    python -m benchmarks.mnist_quadrants binarized_mnist.npz          # twenty minutes
    python -m benchmarks.mnist_quadrants binarized_mnist.npz --quadrants 3 --epochs 20

The lower left quadrant is given, then the left half, then all but the upper right one; the other
pixels are x. The best epoch is chosen on the validation rows. Printed is the mean of -log p(x | c)
of test rows by the default of `evidence`; the published numbers are bounds of the same.

References:
    Learning Structured Output Representation using Deep Conditional Generative Models (Sohn, Lee,
    Yan, 2015), for the setting.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit
from pyro_vae.data import load_splits

PUBLISHED = {1: 71.8, 2: 51.0, 3: 24.2}
"""Bounds of a conditional VAE in Pyro's tutorial."""
MODEL: dict[str, Any] = {
    "latent_dim": 40,
    "likelihood": "bernoulli",
    "hidden_dims": (300, 300),
    "standardize": "all",
}
TRAINING: dict[str, Any] = {
    "compile": "step",
    "batch_size": 250,
    "optimizer": "adamw",
    "lr": 2e-3,
    "optimizer_options": {"weight_decay": 0.03},
    "ema_decay": 0.999,
    "kl_warmup_epochs": 5,
    "progress": False,
}


def is_given(quadrants: int) -> np.ndarray:
    """Which pixels of the flattened image are given, (784,)."""
    row, column = np.indices((28, 28)) // 14
    lower, left = row == 1, column == 0
    given = {1: lower & left, 2: left, 3: lower | left}
    return given[quadrants].ravel()


def report(
    rows: dict[str, np.ndarray], quadrants: int, epochs: int, tested: int
) -> None:
    """Fit a model of the other pixels and print its line."""
    given = is_given(quadrants)
    x = {name: part[:, ~given] for name, part in rows.items()}
    c = {name: part[:, given] for name, part in rows.items()}
    vae = VAE(
        data_shape=x["train"].shape[1:], context={"dim": int(given.sum())}, **MODEL
    )
    started = time.process_time()
    run = fit(
        vae,
        x["train"],
        context=c["train"],
        validation=(x["valid"], c["valid"]),
        epochs=epochs,
        **TRAINING,
    )
    seconds = time.process_time() - started
    test, context = x["test"][:tested], c["test"][:tested]
    found = evidence(vae, test, context=context, num_particles=500, progress=False)
    print(
        f"{quadrants} given, {int((~given).sum())} pixels: -log p(x | c) "
        f"{-found.mean_log_marginal:.2f} ± {found.mean_log_marginal_se:.2f} nats, "
        f"{found.trusted.mean():.1%} trusted, published {PUBLISHED[quadrants]}; "
        f"best of {len(run.history)} epochs, {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--quadrants", type=int, nargs="*", default=list(PUBLISHED))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rows", type=int, default=2000, help="test rows")
    options = parser.parse_args()
    splits = load_splits(options.file, packed_bits=True)
    assert splits.valid is not None
    assert splits.test is not None
    parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    rows = {
        name: np.asarray(part, np.float32).reshape(len(part), -1)
        for name, part in parts.items()
    }
    for quadrants in options.quadrants:
        report(rows, quadrants, options.epochs, options.rows)


if __name__ == "__main__":
    main()
