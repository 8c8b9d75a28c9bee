"""A check of the installation on models all of whose answers are known in closed form."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from pyro_vae.analysis.annealing.ais import annealed
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.posterior_checks.sbc import calibration
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.analysis.results.verdicts import Checkup, Finding
from pyro_vae.objectives import ELBO

SOURCE = "closed form: Tipping, Bishop 1999"
REMEDY = "compare the installed versions with those of constraints.txt, and install these"
COMMAND = "pip install --force-reinstall pyro-vae"


def installation(*, seed: int = 0) -> Checkup:
    """Check what is installed on linear-Gaussian models, all of whose answers are known in closed
    form.

    Example:
        >>> installation().worst
        'pass'
    """
    return Checkup(tuple(_known(seed)))


def _known(seed: int) -> Iterator[Finding]:
    truth = LinearGaussian.random(data_dim=5, latent_dim=2, seed=seed)
    x = truth.sample(500, seed=seed)
    exact = truth.marginal().log_prob(x).numpy()
    with torch.no_grad():
        one = ELBO(kl="monte_carlo")(truth.vae().model, truth.vae().guide, x).elbo.numpy()
    note = "with the exact posterior one draw gives log p(x)"
    yield _most(
        "ELBO at the posterior", float(np.abs(one - exact).max()), 1e-9, "nats off at most", note
    )
    wide = evidence(truth.vae(widen=1.3), x, num_particles=1000, seed=seed, proposal="guide")
    outside = float((np.abs(wide.log_marginal - exact) > 3 * wide.se).mean())
    note = "of the rows are more than 3 standard errors from the exact log p(x)"
    yield _most("importance sampling", 100 * outside, 2, "% of rows", note)
    found = annealed(truth.vae(widen=1.3), x[:20], num_chains=16, temperatures=200, seed=seed)
    off = float(np.abs((found.log_marginal - exact[:20]).mean()))
    yield _most(
        "annealed importance sampling", off, 0.05, "nats", "mean difference to the exact log p(x)"
    )
    for widen in (1.3, 0.5):
        k = evidence(
            truth.vae(widen=widen), x[:100], num_particles=5000, seed=seed, proposal="guide"
        ).pareto_k
        wrong = (k > khat_limit(5000)) == (widen == 1.3)
        limit, share = 5 if widen == 1.3 else 50, 100 * float(wrong.mean())
        note = f"on the wrong side of {khat_limit(5000)} for a guide {widen} times as wide as the posterior"
        yield _most(f"k-hat, width {widen}", share, limit, "% of rows", note)
    p_values = [
        calibration(truth.vae(widen=widen), num_rows=500, seed=seed).p_value for widen in (1.0, 0.7)
    ]
    yield _judged(
        "calibration, exact",
        p_values[0],
        p_values[0] > 1e-4,
        "at least",
        "p for the exact posterior",
    )
    yield _judged(
        "calibration, width 0.7", p_values[1], p_values[1] < 1e-4, "at most", "p for a narrow guide"
    )


def _most(name: str, number: float, limit: float, unit: str, meaning: str) -> Finding:
    """A number that the installed packages must keep below a limit."""
    return Finding.judged(
        number < limit,
        "fail",
        name=name,
        number=number,
        unit=unit,
        threshold=limit,
        passed=meaning,
        failed=meaning,
        source=SOURCE,
        remedy=REMEDY,
        command=COMMAND,
    )


def _judged(
    name: str, p_value: float, right: bool, side: Literal["at most", "at least"], meaning: str
) -> Finding:
    """A p-value that must be on one side of 1e-4."""
    return Finding.judged(
        right,
        "fail",
        name=name,
        number=p_value,
        unit="p",
        threshold=1e-4,
        side=side,
        passed=meaning,
        failed=meaning,
        source=SOURCE,
        remedy=REMEDY,
        command=COMMAND,
    )
