"""How reliable log p(x), the guide and the code are for a model of the static binarized MNIST.

    python -m benchmarks.inference binarized_mnist.npz runs/mnist/standard_normal

Log p(x) of the same 100 random test rows by importance sampling with 100, 1000 and 10 000 draws,
with a refined proposal and by default, and by annealed importance sampling from the prior and from
the guide (in a published comparison, IS-10000 of one IWAE was 1.28 nats off); the inference gaps of
1000 rows beside those of Cremer, Li and Duvenaud (2018, Inference Suboptimality in Variational
Autoencoders: 1.43 and 1.34); active units beside the 19 of Burda, Grosse and Salakhutdinov (2016);
time and peak memory of the evidence of all test rows with 100 and with 1000 draws, in processes of
their own.
"""

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from pyro_vae import VAE, evidence, load
from pyro_vae.analysis.annealing.ais import annealed
from pyro_vae.analysis.gaps.gaps import inference_gaps
from pyro_vae.analysis.gaps.results import Gaps
from pyro_vae.analysis.latent.use import latent_use
from pyro_vae.data import load_splits

LogMarginal = Callable[[], tuple[np.ndarray, str]]


def read_test(data: Path) -> np.ndarray:
    """The test rows of a file."""
    test = load_splits(data, packed_bits=True).test
    if test is None:
        raise SystemExit(f"{data}: expected an array 'test', got none")
    return test


def some(test: np.ndarray, count: int) -> np.ndarray:
    """The same random rows for every question."""
    order = np.random.default_rng(0).permutation(len(test))
    return test[np.sort(order[:count])]


def estimators(
    vae: VAE, x: np.ndarray, chains: int, temperatures: int
) -> dict[str, LogMarginal]:
    """By the name of an estimator: what computes log p(x) of each row, and its reliability."""

    def importance(particles: int, proposal: str = "guide") -> tuple[np.ndarray, str]:
        found = evidence(
            vae, x, num_particles=particles, proposal=proposal, progress=None
        )
        return found.log_marginal, f"k-hat > 0.7: {found.unreliable.mean():.0%}"

    def default() -> tuple[np.ndarray, str]:
        found = evidence(vae, x, progress=None)
        return found.log_marginal, f"trusted: {found.trusted.mean():.0%}"

    def annealing(start: Literal["prior", "guide"]) -> tuple[np.ndarray, str]:
        found = annealed(
            vae,
            x,
            num_chains=chains,
            temperatures=temperatures,
            start=start,
            progress=None,
        )
        return found.log_marginal, f"ess {np.median(found.ess):.1f} of {chains} chains"

    return {
        "AIS from the prior": partial(annealing, "prior"),
        "AIS from the guide": partial(annealing, "guide"),
        "IS-100": partial(importance, 100),
        "IS-1000": partial(importance, 1000),
        "IS-10000": partial(importance, 10_000),
        "IS-1000, refined proposal": partial(importance, 1000, "refined"),
        "default": default,
    }


def print_estimators(vae: VAE, x: np.ndarray, chains: int, temperatures: int) -> None:
    """Log p(x) of the same rows by each estimator; differences to the first one are paired."""
    schedule = f"AIS: {chains} chains, {temperatures} temperatures"
    print(f"log p(x) of {len(x)} test rows, nats per row; {schedule}")
    numbers = f"{'log p(x)':>10}{'minus the first':>21}{'± se':>8}{'seconds':>9}"
    print(f"{'estimator':<28}{numbers}   reliability")
    first = None
    for name, estimate in estimators(vae, x, chains, temperatures).items():
        began = time.perf_counter()
        log_p, reliability = estimate()
        seconds = time.perf_counter() - began
        if first is None:
            first = log_p
        difference = log_p - first
        error = difference.std(ddof=1) / len(difference) ** 0.5
        numbers = f"{log_p.mean():>10.3f}{difference.mean():>21.3f}{error:>8.3f}{seconds:>9.1f}"
        print(f"{name:<28}{numbers}   {reliability}", flush=True)


def beside_published(gaps: Gaps) -> str:
    """The summary, and a line with the published gaps."""
    ours = f"{gaps.approximation_gap.mean():.2f} + {gaps.amortization_gap.mean():.2f}"
    published = "Cremer, Li, Duvenaud 1.43 + 1.34"
    return f"{gaps.summary()}\napproximation + amortization: ours {ours}, {published}"


def timed(title: str, question: Callable[[], object]) -> None:
    """Print the answer to a question and the seconds that it took."""
    began = time.perf_counter()
    answer = question()
    print(f"\n{title} ({time.perf_counter() - began:.0f} s)\n{answer}", flush=True)


def peak(data: Path, model: Path, particles: int) -> tuple[str, float, float]:
    """The evidence of all test rows: summary, seconds, peak memory of this process in MB."""
    test = read_test(data)
    vae = load(model)
    began = time.perf_counter()
    found = evidence(
        vae,
        test,
        num_particles=particles,
        compile="on",
        method="importance",
        progress=None,
    )
    summary = str(found.summary())
    seconds = time.perf_counter() - began
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return summary, seconds, kilobytes / 1024


def print_costs(data: Path, model: Path) -> None:
    """Time and memory of the evidence of all test rows with few and with many draws.

    Call it first: the peak of a process includes that of the process which started it. Both
    numbers of draws are compiled, so both include the compiler's memory.
    """
    for particles in (100, 1000):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            summary, seconds, megabytes = process.submit(
                peak, data, model, particles
            ).result()
        cost = f"{seconds:.0f} s, peak memory {megabytes:.0f} MB"
        print(f"IS-{particles} of all test rows ({cost})\n{summary}\n", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data",
        type=Path,
        help="a .npz of arrays train, valid and test, rows packed by numpy.packbits",
    )
    parser.add_argument("model", type=Path, help="folder of a fitted model")
    parser.add_argument(
        "--chains", type=int, default=16, help="of annealed importance sampling"
    )
    parser.add_argument(
        "--temperatures", type=int, default=1000, help="of annealed importance sampling"
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=100,
        help="for the estimators; ten times as many for the gaps",
    )
    options = parser.parse_args()
    print_costs(options.data, options.model)
    test = read_test(options.data)
    vae = load(options.model)
    rows = options.rows
    print_estimators(vae, some(test, rows), options.chains, options.temperatures)
    timed(
        f"inference gaps, {10 * rows} test rows",
        lambda: beside_published(
            inference_gaps(vae, some(test, 10 * rows), progress=None)
        ),
    )
    published = "Burda, Grosse, Salakhutdinov have 19 active units of 50"
    timed(
        f"use of the latent space, {20 * rows} test rows; {published}",
        lambda: latent_use(vae, some(test, 20 * rows), progress=None).summary(),
    )


if __name__ == "__main__":
    main()
