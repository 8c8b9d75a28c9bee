"""Our own rows: an ensemble of variational autoencoders, whose likelihood hidden cells choose."""

from typing import Any

import numpy as np

import pyro_vae as pv
from benchmarks.imputation.simple import Imputed

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
VERY_FEW_ROWS = 300
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
    return 10 if rows < FEW_ROWS else 3


def tried(rows: int) -> tuple[int, int]:
    """The masks and the models with which a likelihood is tried: the fewer rows, the more."""
    if rows < VERY_FEW_ROWS:
        return 5, 5
    return (2, 1) if rows < FEW_ROWS else (1, 1)


def by_ensemble(likelihood: dict[str, Any], number: int) -> Any:
    """The method with one likelihood."""

    def impute(x: np.ndarray, seed: int) -> Imputed:
        rows = x.astype(np.float32)
        if number == 1:
            vae = model(rows, likelihood)
            pv.fit(vae, rows, epochs=EPOCHS, progress=False)
            return imputed(vae, rows)
        runs = pv.fit_ensemble(
            model(rows, likelihood),
            rows,
            ensemble=number,
            epochs=EPOCHS,
            progress=False,
        )
        return imputed([run.vae for run in runs], rows)

    return impute


def errors_of_candidates(holed: np.ndarray, seed: int) -> dict[str, float]:
    """The mean squared error of observed cells that each candidate does not see."""
    observed = ~np.isnan(holed)
    chosen = np.random.default_rng(1000 + seed).random(holed.shape) < HIDDEN_SHARE
    hidden = observed & chosen
    visible = np.where(hidden, np.nan, holed)
    _, models = tried(len(holed))
    found = {}
    for name, likelihood in CANDIDATES.items():
        mean = by_ensemble(likelihood, models)(visible, seed).mean
        found[name] = float(np.square(mean - holed)[hidden].mean())
    return found
