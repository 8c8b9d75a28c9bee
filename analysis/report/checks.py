"""A check-up of a fitted model: whether its numbers agree, and what they say about the model."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.contexts.dependence import FEWEST, independence
from pyro_vae.analysis.contexts.dependence_results import NAME as INDEPENDENCE
from pyro_vae.analysis.fitted import evaluation, has_density
from pyro_vae.analysis.gaps.gaps import inference_gaps
from pyro_vae.analysis.latent.use import latent_use
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.posterior_checks.nuts import audit
from pyro_vae.analysis.posterior_checks.sbc import calibration
from pyro_vae.analysis.report.agreement import (
    alone,
    bound,
    chunks,
    closed_form,
    density,
)
from pyro_vae.analysis.report.gradients import gradient
from pyro_vae.analysis.report.possible_steps import possible
from pyro_vae.analysis.report.prior_samples import prior_draws
from pyro_vae.analysis.report.results import Checkup
from pyro_vae.analysis.results.answer import mean_and_se
from pyro_vae.analysis.results.verdicts import BASELINE, TRUSTED, Finding
from pyro_vae.arguments import public
from pyro_vae.given import likely_labels
from pyro_vae.inputs import model_rows, rows_of
from pyro_vae.labels import label_of as labels_of
from pyro_vae.labels import log_prob_of
from pyro_vae.likelihoods.base import independent_columns
from pyro_vae.spec import Context
from pyro_vae.vae import VAE

SHARE = 0.98
"""Share of rows whose log p(x) must be trusted for the mean to be trusted."""
SIMULATED_ROWS = 500
"""Rows of the model for the calibration."""
GAP_ROWS = 20
"""Rows for the gaps: enough to say which one is the larger."""
GAP_STEPS = 100
"""Steps of the search for the best member of a family, for each of these rows."""
NEXT_GUIDE = {"semi_amortized": "flow"}
"""The guide to try next: "semi_amortized", unless that is the present one."""


@public
def checkup(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_particles: int = 1000,
    audit_rows: int = 0,
    seed: int = 0,
    progress: bool | None = None,
) -> Checkup:
    """Check a fitted model on rows: its numbers, the trust in log p(x), and a simple baseline.

    It asks whether numbers that must agree do, whether log p(x) can be trusted, whether the model
    is better than one of independent columns, and what `calibration`, `latent_use`,
    `inference_gaps` and, with `audit_rows`, `audit` find. Of a prior of the user's own it also asks
    whether its draws are from its density, and of a model with a context what `independence` finds.
    Where a label is unknown, log p(x) is the sum over labels, and the other findings are those of
    the most probable one.

    Arguments:
        vae: a fitted model.
        x: rows shaped (n, *data_shape), best held out; a few hundred are enough.
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_particles: draws for each row.
        audit_rows: rows whose posterior NUTS draws from, some 40 s each for a small decoder.
        seed: of all draws.
        progress: whether to show bars; None shows them on a terminal or in a notebook.

    Returns:
        The `Checkup`: print it; `worst` is its verdict, `sentences` are its summary in three
        sentences.

    Raises:
        ValueError: no rows, or rows that don't fit the model; fewer rows than `audit_rows`.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> found = checkup(vae, torch.randn(20, 4), num_particles=100)
        >>> found["gradient of the loss"].verdict
        'pass'
    """
    whole = model_rows(vae, x, context=context)
    rows = torch.cat(list(rows_of(vae, whole, "x")))
    if not 0 <= audit_rows <= len(rows):
        raise ValueError(
            f"audit_rows: expected 0 to the number of rows, {len(rows)}, got {audit_rows}"
        )
    found = None
    if has_density(vae):
        found = evidence(
            vae, rows, num_particles=num_particles, seed=seed, progress=progress
        )
    return checkup_given(
        vae, rows, found, audit_rows=audit_rows, seed=seed, progress=progress
    )


def checkup_given(
    vae: VAE,
    rows: Tensor,
    found: Evidence | None,
    *,
    audit_rows: int = 0,
    seed: int = 0,
    progress: bool | None = None,
) -> Checkup:
    """The same where log p(x) of the rows is known; None for a model without a density."""
    given = rows
    rows = likely_labels(vae, rows)
    findings = [gradient(vae, rows, seed)]
    if found is None:
        meaning = (
            "the model is an autoencoder, whose codes have no density, so there is no log p(x) to "
            "check"
        )
        findings += [
            Finding(name=name, verdict="none", meaning=meaning)
            for name in (TRUSTED, BASELINE)
        ]
        return Checkup(tuple(findings))
    findings += [
        density(vae, rows, seed),
        closed_form(vae, rows, seed),
        bound(vae, rows, found, seed),
        chunks(vae, rows, seed),
        alone(vae, rows, seed),
        trusted(found),
        baseline(vae, given, found),
        *_of_diagnostics(vae, rows, seed, progress),
    ]
    if "prior" in vae.spec.custom():
        findings.append(prior_draws(vae, seed))
    if vae.spec.context is not None:
        findings.append(_of_context(vae, rows, vae.spec.context, seed))
    if audit_rows:
        few = rows[:audit_rows]
        audited = audit(vae, few, max_rows=audit_rows, seed=seed, progress=progress)
        findings.append(audited.finding(_next_guide(vae)))
    mean, error = mean_and_se(found.log_marginal)
    steps = tuple(possible(vae, finding) for finding in findings)
    return Checkup(steps, mean, error, found.symbol)


def _next_guide(vae: VAE) -> str:
    kind = vae.spec.guide.kind
    if vae.spec.context is not None:  # which "semi_amortized" doesn't take
        return "full_rank" if kind == "flow" else "flow"
    return NEXT_GUIDE.get(kind, "semi_amortized")


def _of_diagnostics(
    vae: VAE, rows: Tensor, seed: int, progress: bool | None
) -> list[Finding]:
    """The findings of the other diagnostics of the analysis."""
    how: dict[str, Any] = {"seed": seed, "progress": progress}
    guide = _next_guide(vae)
    given = vae.model.split(rows)[1]
    ranks = calibration(vae, context=given, num_rows=SIMULATED_ROWS, **how)
    findings = [ranks.finding(guide)]
    if len(rows) > 1:
        findings.append(latent_use(vae, rows, **how).finding())
    gaps = inference_gaps(vae, rows[:GAP_ROWS], steps=GAP_STEPS, **how)
    findings.append(gaps.finding(guide))
    return findings


def _of_context(vae: VAE, rows: Tensor, context: Context, seed: int) -> Finding:
    """What z tells of the context, where there are rows enough."""
    if len(rows) < FEWEST:
        meaning = f"what z tells of the context is found from {FEWEST} rows on"
        return Finding(name=INDEPENDENCE, verdict="none", meaning=meaning)
    asked = None if context.label is not None else context.independence
    return independence(vae, rows, seed=seed).finding(asked)


def trusted(found: Evidence) -> Finding:
    """The share of rows whose log p(x) is to be trusted."""
    rows = len(found.log_marginal)
    untrusted = int(found.unreliable.sum())
    draws = int(found.num_particles.min())
    if untrusted == rows and np.isnan(found.pareto_k).all():
        return Finding(
            name=TRUSTED,
            verdict="none",
            meaning=f"{draws} draws of a row are too few to tell",
            remedy="take 1000 draws of each row",
            python="pv.evidence(vae, x, num_particles=1000)",
            command="pyro-vae check RUN --set evaluate.num_particles=1000",
        )
    share = 1 - untrusted / rows
    count = f"{rows - untrusted} of {rows} rows"
    limit = (
        f"k-hat at most {khat_limit(draws):.2f} for {draws} draws: Vehtari et al. 2024"
    )
    worst = sorted(map(int, found.worst()))
    return Finding.judged(
        share >= SHARE,
        "warn",
        name=TRUSTED,
        number=100 * share,
        unit="% of rows",
        threshold=100 * SHARE,
        side="at least",
        source=f"ours; {limit}",
        passed=f"it is trusted on {count}",
        failed=f"it is trusted on {count} only, and too low by an unknown amount on the others",
        remedy="estimate log p(x) of these rows by annealed importance sampling, or of all rows "
        "with ten times the draws from a refined proposal",
        python=f"pv.annealed(vae, x[{worst}])",
        command=f"pyro-vae evaluate RUN --set evaluate.num_particles={10 * draws} --set "
        "evaluate.proposal=refined",
    )


def baseline(vae: VAE, x: Tensor, found: Evidence) -> Finding:
    """Mean log p(x) above that of independent columns of the likelihood's family, without z."""
    with evaluation(vae):
        columns = independent_columns(vae.likelihood)
        if columns is None:
            meaning = (
                "this likelihood has no baseline of independent columns, or was never started "
                "from rows"
            )
            return Finding(name=BASELINE, verdict="none", meaning=meaning)
        own, context = vae.model.split(x)
        density = columns.log_prob(own).double()
        if vae.model.label is not None and context is not None:
            density += log_prob_of(labels_of(context), vae.model.label())
        log_p = density.cpu().numpy()
    gain, error = mean_and_se(found.log_marginal - log_p)
    # the error is nan for one row, whose gain has to be positive
    least = 2 * error if error > 0 else 0.0
    return Finding.judged(
        gain > least,
        "warn",
        name=BASELINE,
        number=gain,
        error=error,
        unit="nats per row",
        threshold=least,
        side="at least",
        source="two standard errors over rows, ours",
        passed="the model has learned how the columns depend on each other",
        failed="the model is no better than columns that are modelled one by one, without any "
        "latent variable",
        remedy="train longer: small tables need thousands of steps",
        python="pv.fit(vae, x_train, epochs=1000)",
        command="pyro-vae fit RUN --set fit.epochs=1000 --output RUN-longer",
    )
