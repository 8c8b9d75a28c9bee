"""Simple densities of the same columns, fitted to the same rows, that a model has to beat."""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.outliers.columns import column_log_prob
from pyro_vae.data.normal_em import fit_normal
from pyro_vae.experiment.evaluation import contexts_in, without_contexts
from pyro_vae.inputs import own_part, rows_of
from pyro_vae.labels import log_prob_of
from pyro_vae.likelihoods.base import independent_columns
from pyro_vae.page.subject import Subject
from pyro_vae.spec import Context
from pyro_vae.vae import VAE

Density = Callable[[np.ndarray, np.ndarray], np.ndarray]
INDEPENDENT = "independent columns"
WIDEST = 100
"""Columns of real numbers up to which one normal is fitted: EM takes the cube of them."""
COMPONENTS = (2, 4, 8)
"""Normals in the mixtures among which the fitted rows choose."""
RIDGE = 1.0


@dataclass(frozen=True)
class Baseline:
    """log p(x) of the rows under a simple density, (n,), or why there is none."""

    name: str
    log_p: np.ndarray = field(default_factory=lambda: np.zeros(0))
    reason: str = ""


def baselines(subject: Subject) -> list[Baseline]:
    """Independent columns; one normal, and a mixture of normals, of the columns of real numbers.

    The other columns are independent of these and of each other in all of them, as in the first.
    """
    terms = column_terms(subject.vae, subject.rows)
    if terms is None:
        reason = "this likelihood has no form with independent columns"
        return [Baseline(INDEPENDENT, reason=reason)]
    of_label = log_p_label(subject.vae, subject.contexts)
    independent = Baseline(INDEPENDENT, terms.sum(1) + of_label)
    reason = _no_normal(subject, terms)
    if reason:
        return [independent, Baseline("one normal", reason=reason)]
    return [independent, *_normals(subject, terms, of_label)]


def log_p_label(vae: VAE, contexts: np.ndarray | None) -> Any:
    """log p(y) of rows whose label is known, (n,), 0 of others; 0 for a model without a label."""
    prior = vae.model.label
    if prior is None or contexts is None:
        return 0.0
    with evaluation(vae):
        log_p = prior()
        label = torch.as_tensor(contexts[:, -1]).to(log_p)
        return log_prob_of(label, log_p).double().cpu().numpy()


def _normals(subject: Subject, terms: np.ndarray, of_label: Any) -> Iterator[Baseline]:
    """One normal, also of the context, and, where no cell is missing, a mixture of normals."""
    assert subject.measure is not None
    assert subject.fitted is not None
    vae = subject.vae
    real = subject.measure.columns("density")
    others = subject.measure.columns("mass")
    fitted = without_contexts(vae, subject.fitted).reshape(-1, len(subject.names))
    train = np.asarray(fitted, dtype=np.float64)[:, real]
    rows = subject.flat[:, real]
    mass = terms[:, others].sum(1) + of_label
    also = " and independent columns" if others else ""
    yield _attempted(f"one normal{also}", _normal, train, rows, mass)
    if subject.given is not None and subject.contexts is not None:
        known = one_hot(subject.given, contexts_in(vae, subject.fitted))
        own = one_hot(subject.given, subject.contexts)
        varies = known.std(0) > 0
        if 0 < varies.sum() <= WIDEST:
            whole = np.hstack([train, known[:, varies]])
            wide = np.hstack([rows, own[:, varies]])
            name = f"one normal given the context{also}"
            yield _attempted(name, _conditional(len(real)), whole, wide, mass)
    if not np.isnan(train).any() and not np.isnan(rows).any():
        yield _attempted(f"a mixture of normals{also}", _mixture, train, rows, mass)


def one_hot(given: Context, contexts: np.ndarray) -> np.ndarray:
    """What is known of each context as numbers, (n, E): levels but the last are 0 or 1.

    A label may be unknown, and is left out.

    Example:
        >>> one_hot(Context(label=3, dim=1), np.array([[0.5, 2.0]]))
        array([[0.5]])
    """
    columns = []
    for position, count in enumerate(given.levels[: -1 if given.label else None]):
        column = contexts[:, position : position + 1].astype(np.float64)
        every = np.arange((count or 2) - 1)
        columns.append(column if count is None else (column == every).astype(float))
    return np.hstack([np.zeros((len(contexts), 0)), *columns])


def column_terms(vae: VAE, rows: np.ndarray) -> np.ndarray | None:
    """log p(xᵢ) of each number under independent columns, (n, D), where they have such terms."""
    with evaluation(vae):
        columns = independent_columns(vae.likelihood)
        if columns is None:
            return None
        x = own_part(vae, torch.cat(list(rows_of(vae, rows, "rows"))))
        terms = column_log_prob(columns, x)
        if terms is None:
            terms = columns.log_prob(x)[:, None]
        found: np.ndarray = terms.double().reshape(len(x), -1).cpu().numpy()
    return found


def _no_normal(subject: Subject, terms: np.ndarray) -> str:
    """Why no normal is comparable with the model; empty where one is."""
    measure = subject.measure
    if measure is None or not measure.density:
        return "no column has a density, so a normal has nothing to be compared with"
    if measure.given_in_rows or measure.mask:
        return f"the model's log p(x) is the {measure}, which a normal doesn't have"
    if measure.mass and terms.shape[1] != len(subject.names):
        return "the other columns are not independent of each other in this likelihood"
    if subject.fitted is None:
        return (
            "it needs the rows that the model was fitted to, which are not known here"
        )
    if len(measure.columns("density")) > WIDEST:
        return f"more than {WIDEST} columns of real numbers"
    return ""


def _attempted(
    name: str,
    density: Density,
    train: np.ndarray,
    rows: np.ndarray,
    mass: np.ndarray,
) -> Baseline:
    """A baseline, or why it can't be fitted."""
    try:
        return Baseline(name, density(train, rows) + mass)
    except ValueError as error:
        return Baseline(name, reason=str(error))


def _normal(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """One normal, by maximum likelihood, where cells are missing by EM."""
    fitted = fit_normal(train, ridge=RIDGE, tolerance=1e-4, max_iterations=300)
    return fitted.log_prob(rows)


def _conditional(real: int) -> Density:
    """That of the first columns given the others: log p(x, c) - log p(c) of one normal."""

    def density(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
        fitted = fit_normal(train, ridge=RIDGE, tolerance=1e-4, max_iterations=300)
        others = rows.copy()
        others[:, :real] = np.nan
        return fitted.log_prob(rows) - fitted.log_prob(others)

    return density


def _mixture(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A mixture of normals, whose number the BIC chooses."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    unit = np.where(train.std(0) > 0, train.std(0), 1.0)
    standard = train / unit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = [
            GaussianMixture(count, reg_covar=1e-3, random_state=0).fit(standard)
            for count in COMPONENTS
            if count * 2 * (1 + train.shape[1]) < len(train)
        ]
    if not fitted:
        raise ValueError("too few rows for a mixture")
    best = min(fitted, key=lambda mixture: float(mixture.bic(standard)))
    score: np.ndarray = best.score_samples(rows / unit)
    return score - math.fsum(np.log(unit))
