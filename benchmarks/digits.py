"""Held-out log p(x) of scikit-learn's digits: the run of `pyro-vae fit` beside two tractable
baselines.

    python -m benchmarks.digits

All are densities of counts from 0 to 16, of the same rows: a fifth is held out, chosen by the seed
0, as the command does. Both baselines are exact: independent binomials, and a mixture of 30
products of binomials fitted by expectation maximisation (Dempster, Laird, Rubin, 1977). log p(x) of
the VAE is that of `evidence` as it is by default; the last lines say on which share of rows it is
trusted, how far the guide's ELBO is below it, and what the guide alone gives.
"""

import time

import numpy as np
from scipy.special import logsumexp
from scipy.stats import binom

from pyro_vae import evidence, fit
from pyro_vae.experiment.description import DIGITS, Experiment, make_vae
from pyro_vae.experiment.splits import read_data

COUNT = 16


def binomial_mixture(
    x: np.ndarray, components: int, *, steps: int = 200, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k,) and success probabilities (k, d) by EM, one pseudo-count of success and failure
    in each cell.
    """
    responsibility = np.random.default_rng(seed).dirichlet(np.full(components, 0.1), len(x))
    for _ in range(steps):
        mass = responsibility.sum(0)
        weights = mass / mass.sum()
        probs = (responsibility.T @ x + 1) / (COUNT * mass[:, None] + 2)
        joint = joint_log_density(x, weights, probs)
        responsibility = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return weights, probs


def joint_log_density(x: np.ndarray, weights: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """log weight_k + log p(x_n | k), shaped (n, k)."""
    with np.errstate(divide="ignore"):
        return np.log(weights) + binom.logpmf(x[:, None], COUNT, probs).sum(2)


def main() -> None:
    """Print the table."""
    experiment = Experiment.model_validate(DIGITS)
    held = read_data(experiment.data, None)
    train, test = held.splits.train, held.test
    rows = []
    for name, components in (("independent binomials", 1), ("mixture of 30 binomials", 30)):
        began = time.process_time()
        score = logsumexp(joint_log_density(test, *binomial_mixture(train, components)), axis=1)
        rows.append(
            (name, score.mean(), score.std(ddof=1) / len(score) ** 0.5, time.process_time() - began)
        )
    began = time.process_time()
    run = fit(make_vae(experiment, train), train, **experiment.fit.model_dump())
    fitted = time.process_time() - began
    found = evidence(run.vae, test)
    seconds = time.process_time() - began
    score = found.log_marginal
    rows.append(
        ("VAE, the command's", score.mean(), score.std(ddof=1) / len(score) ** 0.5, seconds)
    )
    print(f"digits, {len(train)} rows to fit, {len(test)} held out; nats per row")
    print(f"{'model':<26}{'log p(x)':>10}{'± se':>8}{'CPU s':>9}")
    for name, mean, error, seconds in rows:
        print(f"{name:<26}{mean:>10.2f}{error:>8.2f}{seconds:>9.1f}")
    untrusted = (found.pareto_k > 0.7).mean()
    print(f"fit {fitted:.0f} CPU s, best epoch {run.best_epoch} of {len(run.history)}")
    print(f"trusted {found.trusted.mean():.1%}, k-hat > 0.7 in {untrusted:.1%}: {found.methods}")
    print(f"log p(x) - ELBO of the guide: {(score - found.elbo).mean():.2f}")
    began = time.process_time()
    plain = evidence(run.vae, test, proposal="guide")
    alone = time.process_time() - began
    began = time.process_time()
    evidence(run.vae, test)
    ratio = (time.process_time() - began) / alone
    print(
        f"from the guide: {plain.log_marginal.mean():.2f}, k-hat > 0.7 in "
        f"{(plain.pareto_k > 0.7).mean():.1%}"
    )
    print(f"time of the default to that of the guide alone: {ratio:.2f}")


if __name__ == "__main__":
    main()
