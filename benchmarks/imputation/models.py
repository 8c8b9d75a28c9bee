"""Our own rows: an ensemble of variational autoencoders, whose likelihoods hidden cells choose."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import pyro_vae as pv
from benchmarks.imputation.simple import Imputed, Method

CORRELATED: dict[str, Any] = {
    "kind": "normal",
    "covariance": "full",
    "start": "data",
    "warp": "asinh",
}
CANDIDATES: dict[str, dict[str, Any]] = {
    "normal": {"kind": "normal"},
    "normal, initial scale 0.5": {"kind": "normal", "initial_scale": 0.5},
    "correlated, asinh, initial scale 0.7": {**CORRELATED, "initial_scale": 0.7},
    "correlated, asinh, initial scale 0.4": {**CORRELATED, "initial_scale": 0.4},
}
EPOCHS = 150
DRAWS = 300
FEW_ROWS = 1000
HIDDEN_SHARE = 0.1


def network(columns: int) -> dict[str, Any]:
    """One size for tables, and one for images."""
    if columns > 50:
        return {"latent_dim": 16, "hidden_dims": (256, 256)}
    return {"latent_dim": 8, "hidden_dims": (128, 128)}


def model(x: np.ndarray, likelihood: dict[str, Any], seed: int = 0) -> pv.VAE:
    """A model for rows with missing cells."""
    columns = x.shape[1]
    return pv.VAE(
        data_shape=(columns,),
        likelihood=likelihood,
        missing="at_random",
        seed=seed,
        **network(columns),
    )


def imputed(models: Any, x: np.ndarray) -> Imputed:
    """What one model or several say of the missing cells."""
    found = pv.impute(models, x, num_imputations=0, num_particles=DRAWS, progress=False)
    cells = found.cells
    whole = [x.astype(float) for _ in range(3)]
    values = (cells.mean, cells.quantiles[:, 0], cells.quantiles[:, -1])
    for rows, value in zip(whole, values, strict=True):
        rows[cells.row, cells.column] = value
    return Imputed(*whole)


def members(rows: int) -> int:
    """More models where rows are few, and fits cheap."""
    return 10 if rows < FEW_ROWS else 4


def trials(rows: int) -> int:
    """Masks on whose observed cells likelihoods are chosen."""
    return 2 if rows < FEW_ROWS else 1


def by_models(likelihoods: Sequence[dict[str, Any]], number: int) -> Method:
    """So many models of these likelihoods together, of each about the same number."""

    def impute(x: np.ndarray, seed: int) -> Imputed:
        rows = x.astype(np.float32)
        models = []
        for index in range(number):
            vae = model(rows, likelihoods[index % len(likelihoods)], seed=index)
            pv.fit(vae, rows, epochs=EPOCHS, seed=index, progress=False)
            models.append(vae)
        return imputed(models, rows)

    return impute


def errors_of_candidates(holed: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The squared errors of observed cells that each candidate does not see."""
    observed = ~np.isnan(holed)
    chosen = np.random.default_rng(1000 + seed).random(holed.shape) < HIDDEN_SHARE
    hidden = observed & chosen
    visible = np.where(hidden, np.nan, holed)
    found = {}
    for name, likelihood in CANDIDATES.items():
        mean = by_models([likelihood], 1)(visible, seed).mean
        found[name] = np.square(mean - holed)[hidden]
    return found


def as_good_as_the_best(errors: dict[str, np.ndarray]) -> list[str]:
    """The candidates whose mean error is at most two standard errors, paired, above the least.

    Nor may it be a tenth above: a few huge errors have a huge standard error.
    """
    best = min(errors, key=lambda name: float(errors[name].mean()))
    kept = []
    for name, each in errors.items():
        worse = each - errors[best]
        doubt = 2 * worse.std() / len(worse) ** 0.5
        if worse.mean() <= min(doubt, errors[best].mean() / 10):
            kept.append(name)
    return kept
