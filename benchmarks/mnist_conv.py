"""The best recipe for the static binarized MNIST: two levels, a flow prior, convolutional nets.

    python -m benchmarks.mnist_conv binarized_mnist.npz --output runs/mnist_conv
    python -m benchmarks.mnist_conv binarized_mnist.npz --output runs/mnist_conv --rows 2000

The training is that of `two_levels_flow_prior` in `benchmarks.mnist_priors`, with encoder and
decoder of two convolutions of 32 and 64 channels and one layer of 300 units; published rows of
perceptrons compare with `mnist_priors`, not with this. log p(x) of the test rows is importance
sampling with 100 draws from a refined proposal, which is low by a few hundredths of a nat; the rows
come in a random order, so that a part of them is a fair sample.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae import VAE, evidence, fit, load, save
from pyro_vae.data import load_splits

SHAPE = (1, 28, 28)
CONVOLUTIONS: dict[str, Any] = {
    "kind": "conv",
    "channels": (32, 64),
    "hidden_dims": (300,),
}
MODEL: dict[str, Any] = {
    "data_shape": SHAPE,
    "latent_dim": 80,
    "likelihood": "bernoulli",
    "prior": {
        "kind": "hierarchical",
        "top_dim": 40,
        "top": {
            "kind": "flow",
            "transform": "coupling",
            "transforms": 8,
            "hidden_dims": (128, 128),
        },
        "hidden_dims": (300, 300),
    },
    "guide": {
        "kind": "hierarchical",
        "top_dim": 40,
        "direction": "top_down",
        "hidden_dim": 300,
    },
    "encoder": CONVOLUTIONS,
    "decoder": CONVOLUTIONS,
    "standardize": "all",
    "denoise": 0.25,
}
TRAINING: dict[str, Any] = {
    "epochs": 100,
    "compile": "step",
    "batch_size": 250,
    "optimizer": "adamw",
    "optimizer_options": {"eps": 1e-4, "weight_decay": 0.1},
    "lr": 1.5e-3,
    "kl_warmup_epochs": 25,
    "ema_decay": 0.999,
    "objective": {"kind": "elbo", "gradient": "stl"},
}
PROPOSAL: dict[str, Any] = {
    "kind": "refined",
    "steps": 20,
    "lr": 0.2,
    "num_particles": 16,
}
PARTICLES = 100
PART = 250
"""Test rows between two lines of output."""


def train(x: np.ndarray, validation: np.ndarray, folder: Path) -> None:
    """Fit the model and save it."""
    run = fit(VAE(**MODEL, seed=0), x, validation=validation, seed=0, **TRAINING)
    save(run.vae, folder, overwrite=True)
    print(run.summary(), flush=True)


def make_parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data",
        type=Path,
        help="a .npz of arrays train, valid and test, rows packed by numpy.packbits",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/mnist_conv"),
        help="folder of the fitted model",
    )
    parser.add_argument(
        "--rows", type=int, default=10_000, help="how many test rows, from --first on"
    )
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="position in the random order of the test rows",
    )
    return parser


def print_evidence(vae: VAE, test: np.ndarray, chosen: np.ndarray) -> None:
    """log p(x) of more and more of the chosen rows."""
    log_p = np.empty(0)
    k_hat = np.empty(0)
    for indices in np.split(chosen, range(PART, len(chosen), PART)):
        rows = test[np.sort(indices)].reshape(-1, *SHAPE)
        found = evidence(vae, rows, num_particles=PARTICLES, proposal=PROPOSAL)
        log_p = np.concatenate([log_p, found.log_marginal])
        k_hat = np.concatenate([k_hat, found.pareto_k])
        error = log_p.std(ddof=1) / len(log_p) ** 0.5
        estimate = f"log p(x) {log_p.mean():.3f} ± {error:.3f}"
        share = (k_hat > 0.7).mean()
        print(f"{len(log_p):>6} rows  {estimate}  k-hat > 0.7: {share:.1%}", flush=True)


def main() -> None:
    """Fit the model if `--output` doesn't exist, and print log p(x) of more and more test rows."""
    options = make_parser().parse_args()
    splits = load_splits(options.data, packed_bits=True)
    if splits.valid is None or splits.test is None:
        raise SystemExit(f"{options.data}: expected arrays train, valid and test")
    if not options.output.exists():
        train(
            splits.train.reshape(-1, *SHAPE),
            splits.valid.reshape(-1, *SHAPE),
            options.output,
        )
    order = np.random.default_rng(0).permutation(len(splits.test))
    chosen = order[options.first : options.first + options.rows]
    print_evidence(load(options.output), splits.test, chosen)


if __name__ == "__main__":
    main()
