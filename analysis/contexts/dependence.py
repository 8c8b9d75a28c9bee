"""`independence`: whether z carries something of the context."""

from typing import Any

import numpy as np
import torch
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.model_selection import KFold, cross_val_predict

from pyro_vae.analysis.contexts.dependence_results import Independence, Told
from pyro_vae.analysis.contexts.naming import names_in
from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.arguments import public
from pyro_vae.data.given_rows import GivenRows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import of_rows, with_context
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

FOLDS = 5
FEWEST = 50
"""Rows from which a classifier can learn something."""
FEWEST_OF_LEVEL = 4
"""Rows of a level in training: a quarter of them decides when the classifier has learned enough."""
SMALLEST = 1e-6
"""Probabilities that the classifier is held to, so that one row can't decide."""
OPTIONS: dict[str, Any] = {
    "max_iter": 200,
    "learning_rate": 0.05,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 10,
    "early_stopping": True,
    "validation_fraction": 0.25,
    "n_iter_no_change": 5,
}
"""Of gradient boosting, which ends before it learns noise by heart."""


@public
def independence(
    vae: VAE, x: Any, *, context: Any = None, seed: int = 0
) -> Independence:
    """Whether a draw of z from q(z | x, c) tells something of c, column by column.

    I(z; c) ≥ E[log q(c | z) - log q(c)], where q(c | z) is gradient boosting, by five-fold
    cross-validation: probabilities for levels, a normal about the prediction for numbers. Where the
    prior takes the context, z = μ(c) + σ(c) u tells of it by intent, and the draw is one of u.

    References:
        The IM Algorithm: A Variational Approach to Information Maximization (Barber, Agakov, 2003),
        for the bound.

    Arguments:
        vae: a fitted model with a context.
        x: at least 50 rows shaped (n, *data_shape), best held out, or a table.
        context: c of the rows; None finds its columns in the table x.
        seed: of the draws and the folds.

    Raises:
        ValueError: a model without a context, too few rows.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"dim": 1})
        >>> found = independence(vae, torch.randn(60, 4), context=torch.randn(60, 1))
        >>> found.columns_told[0].name
        'c[0]'
    """
    given = vae.spec.context
    if given is None:
        raise ValueError(
            "independence: expected a model with a context, got one without; make it with "
            "VAE(..., context={'dim': C}), or VAE.from_data(frame, context={'columns': [...]})"
        )
    rows = with_context(vae, x, context)
    assert isinstance(rows, GivenRows)
    if len(rows) < FEWEST:
        raise ValueError(
            f"x: expected at least {FEWEST} rows, of which a classifier can learn, got "
            f"{len(rows)}; pass more"
        )
    seen = of_rows(vae)
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        draws = [seen.posterior(batch).sample() for batch in rows_of(vae, rows, "x")]
    u = as_numpy(torch.cat(draws)).astype(np.float64)
    contexts = as_numpy(rows.contexts).astype(np.float64)
    names = names_in(given)
    told = [
        _of_level(name, u, column, seed)
        if count is not None
        else _of_number(name, u, column, seed)
        for name, column, count in zip(names, contexts.T, given.levels, strict=True)
    ]
    return Independence(tuple(told), row_labels(x, vae.spec.table))


def _folds(seed: int) -> KFold:
    return KFold(FOLDS, shuffle=True, random_state=seed % 2**32)


def _of_level(name: str, u: np.ndarray, level: np.ndarray, seed: int) -> Told:
    """A column of levels; those that a fold hardly sees have the smallest probability there."""
    levels, index = np.unique(level, return_inverse=True)
    shares = np.bincount(index) / len(index)
    p = np.full((len(u), len(levels)), SMALLEST)
    prior = np.empty(len(u))
    for train, test in _folds(seed).split(u):
        counts = np.bincount(index[train], minlength=len(levels))
        counts[counts < FEWEST_OF_LEVEL] = 0
        known = np.flatnonzero(counts)
        train = train[counts[index[train]] > 0]
        prior[test] = counts[index[test]] / max(len(train), 1)
        if len(known) < 2:
            p[np.ix_(test, known)] = 1.0
            continue
        model = HistGradientBoostingClassifier(random_state=seed % 2**32, **OPTIONS)
        p[np.ix_(test, known)] = model.fit(u[train], index[train]).predict_proba(
            u[test]
        )
    chosen = p[np.arange(len(u)), index]
    gains = np.log(chosen.clip(SMALLEST)) - np.log(prior.clip(SMALLEST))
    accuracy = float((p.argmax(1) == index).mean())
    return Told(name, gains, accuracy, float(shares.max()), is_level=True)


def _of_number(name: str, u: np.ndarray, number: np.ndarray, seed: int) -> Told:
    """A column of numbers, by normal densities whose variances are those of all held-out errors."""
    model = HistGradientBoostingRegressor(random_state=seed % 2**32, **OPTIONS)
    predicted = cross_val_predict(model, u, number, cv=_folds(seed))
    error = np.square(number - predicted)
    around = np.square(number - number.mean())
    total, left = around.mean(), error.mean()
    if total == 0:
        return Told(name, np.zeros(len(u)), 0.0, 0.0, is_level=False)
    left = max(left, SMALLEST * total)
    gains = 0.5 * np.log(total / left) + 0.5 * (around / total - error / left)
    return Told(name, gains, float(1 - left / total), 0.0, is_level=False)
