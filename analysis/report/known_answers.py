"""A check of the installation on models all of whose answers are known in closed form."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.annealing.ais import annealed
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.posterior_checks.sbc import calibration
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.analysis.report.results import Checkup
from pyro_vae.analysis.results.verdicts import Finding
from pyro_vae.objectives import ELBO

SIGNIFICANT = 1e-4
"""The p-value of an exact posterior is above this, and that of a narrow guide below."""


def installation(*, seed: int = 0) -> Checkup:
    """Check what is installed on linear-Gaussian models, whose answers are known in closed form.

    Example:
        >>> installation().worst
        'pass'
    """
    return Checkup(tuple(_findings(seed)))


def _findings(seed: int) -> Iterator[Finding]:
    truth = LinearGaussian.random(data_dim=5, latent_dim=2, seed=seed)
    x = truth.sample(500, seed=seed)
    exact = truth.marginal().log_prob(x).numpy()
    yield _elbo(truth, x, exact)
    yield _importance_sampling(truth, x, exact, seed)
    yield _annealed(truth, x[:20], exact[:20], seed)
    yield _wide_k_hat(truth, x[:100], seed)
    yield _narrow_k_hat(truth, x[:100], seed)
    yield from _calibration(truth, seed)


def _elbo(truth: LinearGaussian, x: Tensor, exact: np.ndarray) -> Finding:
    vae = truth.vae()
    with torch.no_grad():
        one = ELBO(kl="monte_carlo")(vae.model, vae.guide, x).elbo.numpy()
    error = float(np.abs(one - exact).max())
    meaning = "with the exact posterior one draw gives log p(x)"
    return _below("ELBO at the posterior", error, 1e-9, "nats off at most", meaning)


def _importance_sampling(
    truth: LinearGaussian, x: Tensor, exact: np.ndarray, seed: int
) -> Finding:
    how: dict[str, Any] = {"proposal": "guide", "seed": seed, "progress": False}
    wide = evidence(truth.vae(widen=1.3), x, num_particles=1000, **how)
    outside = float((np.abs(wide.log_marginal - exact) > 3 * wide.se).mean())
    meaning = "of the rows are more than 3 standard errors from the exact log p(x)"
    return _below("importance sampling", 100 * outside, 2, "% of rows", meaning)


def _annealed(
    truth: LinearGaussian, x: Tensor, exact: np.ndarray, seed: int
) -> Finding:
    how: dict[str, Any] = {"seed": seed, "progress": False}
    found = annealed(truth.vae(widen=1.3), x, num_chains=16, temperatures=200, **how)
    error = float(np.abs((found.log_marginal - exact).mean()))
    meaning = "mean difference to the exact log p(x)"
    return _below("annealed importance sampling", error, 0.05, "nats", meaning)


def _wide_k_hat(truth: LinearGaussian, x: Tensor, seed: int) -> Finding:
    """Wide guides have bounded weights, and so a small k-hat."""
    wrong = _k_hat(truth, x, 1.3, seed) > khat_limit(5000)
    return _k_hat_finding(1.3, 100 * float(wrong.mean()), limit=5)


def _narrow_k_hat(truth: LinearGaussian, x: Tensor, seed: int) -> Finding:
    """Narrow guides have weights without a variance, and so a large k-hat."""
    wrong = ~(_k_hat(truth, x, 0.5, seed) > khat_limit(5000))
    return _k_hat_finding(0.5, 100 * float(wrong.mean()), limit=50)


def _k_hat(truth: LinearGaussian, x: Tensor, widen: float, seed: int) -> np.ndarray:
    how: dict[str, Any] = {"proposal": "guide", "seed": seed, "progress": False}
    return evidence(truth.vae(widen=widen), x, num_particles=5000, **how).pareto_k


def _k_hat_finding(widen: float, percent: float, limit: float) -> Finding:
    meaning = (
        f"on the wrong side of {khat_limit(5000)} for a guide {widen} times as wide as the "
        "posterior"
    )
    return _below(f"k-hat, width {widen}", percent, limit, "% of rows", meaning)


def _calibration(truth: LinearGaussian, seed: int) -> Iterator[Finding]:
    how: dict[str, Any] = {"num_rows": 500, "seed": seed, "progress": False}
    exact = calibration(truth.vae(), **how).p_value
    narrow = calibration(truth.vae(widen=0.7), **how).p_value
    meaning = "p for the exact posterior"
    yield _p_value(
        "calibration, exact", exact, exact > SIGNIFICANT, "at least", meaning
    )
    meaning = "p for a narrow guide"
    yield _p_value(
        "calibration, width 0.7", narrow, narrow < SIGNIFICANT, "at most", meaning
    )


def _below(name: str, number: float, limit: float, unit: str, meaning: str) -> Finding:
    """A number that the installed packages must keep below a limit."""
    fields: dict[str, Any] = {"number": number, "unit": unit, "threshold": limit}
    return _judged(name, number < limit, meaning, **fields)


def _p_value(
    name: str,
    p_value: float,
    right: bool,
    side: Literal["at most", "at least"],
    meaning: str,
) -> Finding:
    """A p-value that must be on one side of the threshold."""
    fields: dict[str, Any] = {"number": p_value, "unit": "p", "threshold": SIGNIFICANT}
    return _judged(name, right, meaning, side=side, **fields)


def _judged(name: str, right: bool, meaning: str, **fields: Any) -> Finding:
    return Finding.judged(
        right,
        "fail",
        name=name,
        passed=meaning,
        failed=meaning,
        source="closed form: Tipping, Bishop 1999",
        remedy="compare the installed versions with those of constraints.txt, and install these",
        command="pip install --force-reinstall pyro-vae",
        **fields,
    )
