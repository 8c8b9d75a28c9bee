"""Trees of the kinds that `to_arviz` makes, from numpy alone: also for where torch is missing."""

from typing import Any

import numpy as np
from scipy import stats

from pyro_vae.analysis.bridge.arviz_objects import as_integers, to_datatree
from pyro_vae.analysis.bridge.elpd import to_elpd

DRAWS = 500
ROWS = 6
LATENT = 2
FEATURES = 5
SIGMA = 0.7
TRIALS = 16
CHAINS = 4
WIDEN = 1.3

Arrays = dict[str, np.ndarray]


class LinearGaussian:
    """x = W z + ε with z ~ N(0, I), ε ~ N(0, σ² I): p(z | x) and p(x) are known."""

    def __init__(self, rng: np.random.Generator, features: int = FEATURES) -> None:
        self.weight = rng.normal(size=(features, LATENT))
        precision = np.eye(LATENT) + self.weight.T @ self.weight / SIGMA**2
        self.covariance = np.linalg.inv(precision)

    def mean(self, x: np.ndarray) -> np.ndarray:
        """E[z | x], (rows, latent)."""
        return x @ self.weight @ self.covariance / SIGMA**2

    def rows(self, rng: np.random.Generator, count: int) -> np.ndarray:
        z = rng.normal(size=(count, LATENT))
        return self.data(rng, z)

    def data(self, rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
        mean = z @ self.weight.T
        return rng.normal(mean, SIGMA)

    def codes(
        self, rng: np.random.Generator, x: np.ndarray, draws: int, widen: float = 1.0
    ) -> np.ndarray:
        """z from p(z | x), or from a normal that is wider, (draws, rows, latent)."""
        covariance = widen**2 * self.covariance
        noise = rng.multivariate_normal(np.zeros(LATENT), covariance, (draws, len(x)))
        return self.mean(x) + noise

    def log_codes(self, x: np.ndarray, z: np.ndarray, widen: float) -> np.ndarray:
        """log q(z | x) of that normal, (draws, rows)."""
        covariance = widen**2 * self.covariance
        zero = np.zeros(LATENT)
        return stats.multivariate_normal.logpdf(z - self.mean(x), zero, covariance)

    def log_likelihood(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """log p(x | z), (draws, rows)."""
        mean = z @ self.weight.T
        return stats.norm.logpdf(x, mean, SIGMA).sum(-1)

    def log_prior(self, z: np.ndarray) -> np.ndarray:
        """log p(z), (draws, rows)."""
        return stats.norm.logpdf(z).sum(-1)

    def log_marginal(self, x: np.ndarray) -> np.ndarray:
        """log p(x), (rows,)."""
        features = len(self.weight)
        covariance = self.weight @ self.weight.T + SIGMA**2 * np.eye(features)
        return stats.multivariate_normal.logpdf(x, np.zeros(features), covariance)


def real() -> Any:
    """Real columns."""
    rng = np.random.default_rng(0)
    truth = LinearGaussian(rng)
    x = truth.rows(rng, ROWS)
    z = truth.codes(rng, x, DRAWS, WIDEN)
    prior = rng.normal(size=z.shape)
    log_likelihood = truth.log_likelihood(x, z)
    log_p = log_likelihood + truth.log_prior(z)
    log_q = truth.log_codes(x, z, WIDEN)
    scale = WIDEN * np.sqrt(np.diag(truth.covariance))
    zero = np.zeros(ROWS)
    by_row = {"pareto_k": zero, "ess": zero + DRAWS}
    groups = {
        "posterior": {"z": z},
        "posterior_predictive": {"x": truth.data(rng, z)},
        "prior": {"z": prior},
        "prior_predictive": {"x": truth.data(rng, prior)},
        "observed_data": {"x": x},
        "log_likelihood": {"x": log_likelihood},
        "sample_stats": {
            "log_p": log_p,
            "log_q": log_q,
            "log_weight": log_p - log_q,
        },
        "resampled": {"z": truth.codes(rng, x, DRAWS), **by_row},
        "variational": {
            "loc": truth.mean(x),
            "scale": np.broadcast_to(scale, (ROWS, LATENT)),
            "log_marginal": truth.log_marginal(x),
            "se": zero,
            "elbo": truth.log_marginal(x),
            "rate": zero + 2,
            **by_row,
        },
        "imputed_cells": {
            "value": rng.normal(size=(20, 2)),
            "cell_row": np.array([1, 4]),
            "cell_column": np.array(["a", "b"]),
        },
    }
    return to_datatree(groups, cells=["1, a", "4, b"])


def whole(trials: int, *, sized: bool = False) -> Any:
    """Counts out of so many trials, with the size of each row beside them."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(DRAWS, ROWS, LATENT))
    weight = rng.normal(size=(LATENT, FEATURES))
    share = 1 / (1 + np.exp(-z @ weight))
    counts = as_integers(rng.binomial(trials, share).astype(float))
    prior = as_integers(rng.binomial(trials, rng.permutation(share)).astype(float))
    groups: dict[str, Arrays] = {
        "posterior": {"z": z},
        "posterior_predictive": {"x": counts},
        "prior": {"z": z},
        "prior_predictive": {"x": prior},
        "observed_data": {"x": counts[0]},
        "log_likelihood": {"x": rng.normal(-9, 1, (DRAWS, ROWS))},
    }
    if sized:
        groups["constant_data"] = {"size": np.arange(ROWS) + 1.0}
    return to_datatree(groups)


def nuts() -> Any:
    """Several chains, one of whose transitions diverged."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(CHAINS, DRAWS, ROWS, LATENT))
    diverging = np.zeros(z.shape[:-1], bool)
    diverging[0, 3] = True
    groups = {"posterior": {"z": z}, "sample_stats": {"diverging": diverging}}
    return to_datatree(groups, has_chains=True)


def elpds(rows: int = 60) -> dict[str, Any]:
    """Held-out log p(x) of two models, the first one better."""
    rng = np.random.default_rng(3)
    log_p = rng.normal(-80, 10, rows)
    worse = log_p - rng.normal(1, 2, rows)
    k_hat = rng.normal(0.2, 0.1, rows)
    return {
        "first": to_elpd(log_p, k_hat, num_particles=500),
        "second": to_elpd(worse, k_hat, num_particles=500),
    }


def flattened(tree: Any, dim: str) -> Any:
    """A tree of ArviZ 1.x whose draws have one dimension."""
    import xarray as xr

    groups = {}
    for name in ("posterior", "posterior_predictive", "observed_data"):
        group = tree[name].to_dataset()
        if "chain" in group.dims:
            group = group.isel(chain=0, drop=True).rename(draw=dim)
        groups[name] = group
    return xr.DataTree.from_dict(groups)


def calibrated() -> Any:
    """Uniform ranks of `pv.calibration` as what ArviZ 1.x draws."""
    import xarray as xr

    pit = np.random.default_rng(4).uniform(size=(1, 99, LATENT))
    coords = {"chain": [0], "draw": np.arange(99), "latent": np.arange(LATENT)}
    ranks = xr.Dataset({"z": (("chain", "draw", "latent"), pit)}, coords=coords)
    return xr.DataTree.from_dict({"prior_sbc": ranks})
