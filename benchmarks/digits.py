"""Held-out log p(x) of scikit-learn's digits: `pyro-vae fit` and two tractable baselines.

    python -m benchmarks.digits

All are densities of counts from 0 to 16, of the same rows: a fifth is held out, chosen by the seed
0, as the command does. Both baselines are exact: independent binomials, and a mixture of 30
products of binomials fitted by expectation maximisation (Dempster, Laird, Rubin, 1977). log p(x) of
the VAE is that of `evidence` as it is by default; the last lines say on which share of rows it is
trusted, how far the guide's ELBO is below it, and what the guide alone gives.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from scipy.special import logsumexp
from scipy.stats import binom

from pyro_vae import VAE, evidence, fit
from pyro_vae.analysis import Evidence
from pyro_vae.experiment.description import Experiment, make_vae
from pyro_vae.experiment.fields import DIGITS
from pyro_vae.experiment.splits import read_data

COUNT = 16
Result = TypeVar("Result")


def binomial_mixture(
    x: np.ndarray, components: int, *, steps: int = 200, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k,) and success probabilities (k, d) by EM.

    Each cell has one pseudo-count of success and one of failure.
    """
    responsibility = np.random.default_rng(seed).dirichlet(
        np.full(components, 0.1), len(x)
    )
    for _ in range(steps):
        mass = responsibility.sum(0)
        weights = mass / mass.sum()
        probs = (responsibility.T @ x + 1) / (COUNT * mass[:, None] + 2)
        joint = joint_log_density(x, weights, probs)
        responsibility = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return weights, probs


def joint_log_density(
    x: np.ndarray, weights: np.ndarray, probs: np.ndarray
) -> np.ndarray:
    """log weight_k + log p(x_n | k), shaped (n, k)."""
    with np.errstate(divide="ignore"):
        return np.log(weights) + binom.logpmf(x[:, None], COUNT, probs).sum(2)


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """What a function returns, and the CPU seconds that it takes."""
    began = time.process_time()
    result = function()
    return result, time.process_time() - began


def mixture_score(train: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """log p(x) of each test row under a fitted mixture."""
    weights, probs = binomial_mixture(train, components)
    score: np.ndarray = logsumexp(joint_log_density(test, weights, probs), axis=1)
    return score


def line(name: str, score: np.ndarray, seconds: float) -> str:
    """One line of the table; `score` is log p(x) of each test row."""
    error = score.std(ddof=1) / len(score) ** 0.5
    return f"{name:<26}{score.mean():>10.2f}{error:>8.2f}{seconds:>9.1f}"


def main() -> None:
    """Print the table."""
    experiment = Experiment.model_validate(DIGITS)
    rows = read_data(experiment.data, None)
    train = rows.splits.train
    test = rows.test
    print(f"digits, {len(train)} rows to fit, {len(test)} held out; nats per row")
    print(f"{'model':<26}{'log p(x)':>10}{'± se':>8}{'CPU s':>9}")
    for name, components in (
        ("independent binomials", 1),
        ("mixture of 30 binomials", 30),
    ):
        score, seconds = timed(partial(mixture_score, train, test, components))
        print(line(name, score, seconds), flush=True)
    options = experiment.fit.model_dump()
    run, to_fit = timed(lambda: fit(make_vae(experiment, train), train, **options))
    found, to_evaluate = timed(lambda: evidence(run.vae, test))
    print(line("VAE, the command's", found.log_marginal, to_fit + to_evaluate))
    print(f"fit {to_fit:.0f} CPU s, best epoch {run.best_epoch} of {len(run.history)}")
    print_reliability(run.vae, test, found)


def print_reliability(vae: VAE, test: np.ndarray, found: Evidence) -> None:
    """How reliable log p(x) is, and how it compares with draws from the guide alone."""
    untrusted = (found.pareto_k > 0.7).mean()
    trusted = f"trusted {found.trusted.mean():.1%}, k-hat > 0.7 in {untrusted:.1%}"
    print(f"{trusted}: {found.methods}")
    print(
        f"log p(x) - ELBO of the guide: {(found.log_marginal - found.elbo).mean():.2f}"
    )
    plain, from_guide = timed(lambda: evidence(vae, test, proposal="guide"))
    _, by_default = timed(lambda: evidence(vae, test))
    untrusted = (plain.pareto_k > 0.7).mean()
    print(
        f"from the guide: {plain.log_marginal.mean():.2f}, k-hat > 0.7 in {untrusted:.1%}"
    )
    print(
        f"time of the default to that of the guide alone: {by_default / from_guide:.2f}"
    )


if __name__ == "__main__":
    main()
