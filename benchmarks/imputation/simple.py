"""The methods beside ours: means, one multivariate normal, and regressions in turn."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

from pyro_vae.data.normal_em import fit_normal

Z90 = 1.6448536269514722


class Imputed(NamedTuple):
    """Rows without missing cells, and the ends of the 90 % interval of each cell, if known."""

    mean: np.ndarray
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None


Method = Callable[[np.ndarray, int], Imputed]
"""From rows with missing cells and a seed."""


def of_normals(mean: np.ndarray, std: np.ndarray) -> Imputed:
    """Intervals of normal cells."""
    return Imputed(mean, mean - Z90 * std, mean + Z90 * std)


def by_mean(x: np.ndarray, seed: int) -> Imputed:
    """The mean and the standard deviation of the observed cells."""
    std = np.broadcast_to(np.nanstd(x, 0), x.shape)
    return of_normals(np.where(np.isnan(x), np.nanmean(x, 0), x), std)


def by_normal(ridge: float) -> Method:
    """EM for one multivariate normal."""

    def impute(x: np.ndarray, seed: int) -> Imputed:
        mean, variance = fit_normal(x, ridge=ridge, tolerance=1e-4).conditional(x)
        return of_normals(mean, np.sqrt(variance))

    return impute


def by_ridge(x: np.ndarray, seed: int) -> Imputed:
    """A linear regression for each column in turn: scikit-learn's default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer = IterativeImputer(BayesianRidge(), max_iter=10, random_state=seed)
        return Imputed(imputer.fit_transform(x))


def by_trees(x: np.ndarray, seed: int) -> Imputed:
    """Trees for each column in turn, as missForest."""
    trees = ExtraTreesRegressor(n_estimators=50, n_jobs=1, random_state=seed)
    nearest = min(20, x.shape[1] - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer = IterativeImputer(
            trees, max_iter=5, n_nearest_features=nearest, random_state=seed
        )
        return Imputed(imputer.fit_transform(x))


METHODS: dict[str, Method] = {
    "mean": by_mean,
    "normal by EM": by_normal(0.0),
    "normal by EM, ridge 1": by_normal(1.0),
    "normal by EM, ridge 5": by_normal(5.0),
    "IterativeImputer, ridge": by_ridge,
    "IterativeImputer, trees": by_trees,
}
