"""How far log p(x), the guide and the code of a model fitted to the static binarized MNIST can be trusted.

    python -m benchmarks.inference binarized_mnist.npz runs/mnist/standard_normal

Log p(x) of the same 100 random test rows by importance sampling with 100, 1000 and 10 000 draws, with a refined
proposal, and by annealed importance sampling; the inference gaps of 1000 rows beside those of Cremer, Li and Duvenaud
(2018, Inference Suboptimality in Variational Autoencoders: approximation 1.43, amortization 1.34); active units beside
the 19 of Burda, Grosse and Salakhutdinov (2016); the time that the evidence of all test rows takes with 1000 draws.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pyro_vae import VAE, evidence, load
from pyro_vae.analysis.ais import annealed
from pyro_vae.analysis.gaps import inference_gaps
from pyro_vae.analysis.latent_space import latent_use
from pyro_vae.data import load_splits


def some(test: np.ndarray, count: int) -> np.ndarray:
    """The same random rows for every question."""
    return test[np.sort(np.random.default_rng(0).permutation(len(test))[:count])]


def print_estimators(vae: VAE, x: np.ndarray, chains: int, temperatures: int) -> None:
    """Log p(x) of the same rows by each estimator, and its paired difference to annealed importance sampling."""
    print(f"log p(x) of {len(x)} test rows, nats per row")
    print(f"{'estimator':<34}{'log p(x)':>10}{'less than AIS':>15}{'± se':>8}{'k-hat > 0.7':>13}{'seconds':>9}")
    began = time.perf_counter()
    exact = annealed(vae, x, num_chains=chains, temperatures=temperatures, progress=None).log_marginal
    name = f"AIS, {temperatures} temperatures, {chains} chains"
    print(f"{name:<34}{exact.mean():>10.3f}{'':>36}{time.perf_counter() - began:>9.0f}", flush=True)
    estimators: dict[str, tuple[int, str]] = {
        "IS-100": (100, "guide"),
        "IS-1000": (1000, "guide"),
        "IS-10000": (10_000, "guide"),
        "IS-1000, refined proposal": (1000, "refined"),
    }
    for name, (particles, proposal) in estimators.items():
        began = time.perf_counter()
        found = evidence(vae, x, num_particles=particles, proposal=proposal)
        less, seconds = found.log_marginal - exact, time.perf_counter() - began
        error = less.std(ddof=1) / len(less) ** 0.5
        share = found.unreliable.mean()
        print(
            f"{name:<34}{found.log_marginal.mean():>10.3f}{less.mean():>15.3f}{error:>8.3f}{share:>13.0%}{seconds:>9.1f}",
            flush=True,
        )


def timed(title: str, question: Callable[[], object]) -> None:
    """Print the answer to a question and the seconds that it took."""
    began = time.perf_counter()
    answer = question()
    print(f"\n{title} ({time.perf_counter() - began:.0f} s)\n{answer}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .npz of arrays train, valid and test, rows packed by numpy.packbits")
    parser.add_argument("model", type=Path, help="folder of a fitted model")
    parser.add_argument("--chains", type=int, default=8, help="of annealed importance sampling")
    parser.add_argument("--temperatures", type=int, default=1000, help="of annealed importance sampling")
    options = parser.parse_args()
    test, vae = load_splits(options.data, packed_bits=True).test, load(options.model)
    assert test is not None
    print_estimators(vae, some(test, 100), options.chains, options.temperatures)
    timed("inference gaps, 1000 test rows", lambda: inference_gaps(vae, some(test, 1000)).summary())
    timed("use of the latent space, 2000 test rows", lambda: latent_use(vae, some(test, 2000)).summary())
    timed(f"IS-1000 of {len(test)} test rows", lambda: evidence(vae, test, num_particles=1000).summary())


if __name__ == "__main__":
    main()
