"""A check-up of a fitted model: do its numbers agree, are they to be believed, and what do they say
of the model?
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import evaluation, has_density
from pyro_vae.analysis.gaps.gaps import inference_gaps
from pyro_vae.analysis.latent.use import latent_use
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.posterior_checks.nuts import audit
from pyro_vae.analysis.posterior_checks.sbc import calibration
from pyro_vae.analysis.report.agreement import alone, bound, chunks, closed_form, density, gradient
from pyro_vae.analysis.results.verdicts import BASELINE, TRUSTED, Checkup, Finding, mean_and_error
from pyro_vae.arguments import public
from pyro_vae.inputs import rows_of
from pyro_vae.vae import VAE

SHARE = 0.98
"""Share of rows whose log p(x) must be trusted for the mean to be believed."""
GAP_ROWS, GAP_STEPS = 20, 100
"""Rows and steps for the gaps: enough to say which one is the larger."""
NEXT_GUIDE = {"semi_amortized": "flow"}
"""The guide to try next: "semi_amortized", unless that is the present one."""


@public
def checkup(
    vae: VAE,
    x: Any,
    *,
    num_particles: int = 1000,
    audit_rows: int = 0,
    seed: int = 0,
    progress: bool | None = False,
) -> Checkup:
    """Check a fitted model on rows: do its numbers agree, is log p(x) to be believed, is the model
    better than none?

    Arguments:
        vae: a fitted model.
        x: rows shaped (n, *data_shape), best held out; a few hundred are enough.
        num_particles: draws for each row.
        audit_rows: rows whose posterior NUTS draws from, some 40 s each for a small decoder.
        seed: of all draws.
        progress: show bars; None on a terminal only.

    Returns:
        The `Checkup`: print it; `worst` is its verdict, `sentences` are three for who has no time.

    Raises:
        ValueError: no rows, or rows that the model can't hold; fewer rows than `audit_rows`.

    Example:
        >>> found = checkup(VAE(data_shape=(4,), latent_dim=2), torch.randn(20, 4), num_particles=100)
        >>> found["gradient of the loss"].verdict
        'pass'
    """
    rows = torch.cat(list(rows_of(vae, x, "x")))
    if not 0 <= audit_rows <= len(rows):
        raise ValueError(
            f"audit_rows: expected 0 to the number of rows, {len(rows)}, got {audit_rows}"
        )
    findings = [gradient(vae, rows, seed)]
    if not has_density(vae):
        reason = "the model is an autoencoder, whose codes have no density, so there is no log p(x) to check"
        nothing = [
            Finding(name=name, verdict="none", meaning=reason) for name in (TRUSTED, BASELINE)
        ]
        return Checkup((*findings, *nothing))
    found = evidence(vae, rows, num_particles=num_particles, seed=seed, progress=progress)
    findings += [
        density(vae, rows, seed),
        closed_form(vae, rows, seed),
        bound(vae, rows, found, seed),
        chunks(vae, rows, seed),
        alone(vae, rows, seed),
        trusted(found),
        baseline(vae, rows, found),
        *_of_results(vae, rows, found, audit_rows, seed, progress),
    ]
    mean, error = mean_and_error(found.log_marginal)
    return Checkup(tuple(_suited(vae, finding) for finding in findings), mean, error)


def _of_results(
    vae: VAE, rows: Tensor, found: Evidence, audit_rows: int, seed: int, progress: bool | None
) -> list[Finding]:
    """The findings of the other questions about a model."""
    guide = NEXT_GUIDE.get(vae.spec.guide.kind, "semi_amortized")
    findings = [calibration(vae, num_rows=500, seed=seed, progress=progress).finding(guide)]
    if len(rows) > 1:
        findings.append(latent_use(vae, rows, seed=seed).finding())
    findings.append(inference_gaps(vae, rows[:GAP_ROWS], steps=GAP_STEPS, seed=seed).finding(guide))
    if audit_rows:
        audited = audit(vae, rows[:audit_rows], max_rows=audit_rows, seed=seed, progress=progress)
        findings.append(audited.finding(guide))
    return findings


def trusted(found: Evidence) -> Finding:
    """The share of rows whose log p(x) is to be trusted."""
    rows, bad = len(found.log_marginal), np.flatnonzero(found.unreliable)
    draws = int(found.num_particles.min())
    if len(bad) == rows and np.isnan(found.pareto_k).all():
        return Finding(
            name=TRUSTED,
            verdict="none",
            meaning=f"{draws} draws of a row are too few to tell",
            remedy="take 1000 draws a row",
            python="pv.evidence(vae, x, num_particles=1000)",
            command="pyro-vae check RUN --set evaluate.num_particles=1000",
        )
    share = 1 - len(bad) / rows
    count = f"{rows - len(bad)} of {rows} rows"
    worst = sorted(map(int, found.worst()))
    return Finding.judged(
        share >= SHARE,
        "warn",
        name=TRUSTED,
        number=100 * share,
        unit="% of rows",
        threshold=100 * SHARE,
        side="at least",
        source=f"ours; k-hat at most {khat_limit(draws):.2f} for {draws} draws: Vehtari et al. "
        "2024",
        passed=f"it is trusted on {count}",
        failed=f"it is trusted on {count} only, and too low by an unknown amount on the others",
        remedy="estimate log p(x) of these rows by annealed importance sampling, or of all rows "
        "with ten times the draws from a refined proposal",
        python=f"pv.annealed(vae, x[{worst}])",
        command=f"pyro-vae evaluate RUN --set evaluate.num_particles={10 * draws} --set "
        "evaluate.proposal=refined",
    )


def baseline(vae: VAE, x: Tensor, found: Evidence) -> Finding:
    """Mean log p(x) above that of independent columns, each with the likelihood's family and no
    latent variable.
    """
    make = getattr(vae.likelihood, "independent", None)
    with evaluation(vae):
        columns = make() if make else None
        if columns is None:
            reason = "this likelihood has no baseline of independent columns, or was never started from rows"
            return Finding(name=BASELINE, verdict="none", meaning=reason)
        alone = columns.log_prob(x).double().cpu().numpy()
    gain, error = mean_and_error(found.log_marginal - alone)
    least = 2 * error if error > 0 else 0.0
    return Finding.judged(
        gain > least,
        "warn",
        name=BASELINE,
        number=gain,
        error=error,
        unit="nats a row",
        threshold=least,
        side="at least",
        source="two standard errors over rows, ours",
        passed="the model knows how the columns hang together",
        failed="the model is no better than columns that are modelled one by one, without any "
        "latent variable",
        remedy="train longer: small tables need thousands of steps",
        python="pv.fit(vae, x_train, epochs=1000)",
        command="pyro-vae fit RUN/experiment.json --set fit.epochs=1000 --output RUN-longer",
    )


def _suited(vae: VAE, finding: Finding) -> Finding:
    """A model with parts of the user's own can't be built from its description: such a remedy stays
    words.
    """
    parts = (
        getattr(vae.spec, name) for name in ("prior", "likelihood", "guide", "encoder", "decoder")
    )
    custom = any(getattr(part, "kind", "") == "custom" for part in parts)
    if not custom:
        return finding
    python = "" if "from_spec" in finding.python else finding.python
    command = "" if "experiment.json" in finding.command else finding.command
    return replace(finding, python=python, command=command)
