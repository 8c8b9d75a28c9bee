"""Linear VAEs against probabilistic PCA, whose optimum and log p(x) are known in closed form.

    python -m benchmarks.tables

A linear decoder with one noise level is x ~ N(μ, W Wᵀ + σ² I), whose maximum likelihood is PCA's,
and the posterior of z is a normal with one covariance for all rows, which a linear encoder with a
full-rank guide can reach. So the mean log p(x) of the rows that were trained on must come up to
`PCA.score`, and the estimate of each row must agree with the density that the trained decoder has
(Tipping, Bishop, 1999, Probabilistic Principal Component Analysis).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from pyro_vae import VAE, evidence, fit
from pyro_vae.analysis import Evidence

TABLES: dict[str, Callable[[], Any]] = {
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "diabetes": load_diabetes,
}
LATENT_DIMS = (2, 5)
TRAINING = {"epochs": 400, "batch_size": 1000, "lr": 0.05, "validation": None}
"""All rows in each step: the noise that is left is that of z, and the cosine schedule averages it
away.
"""


class Result(NamedTuple):
    """One line of the table; log p(x) in nats per row.

    Attributes:
        data, latent_dim: what was fitted.
        x: the standardised rows.
        vae: the trained model.
        score: mean log p(x) under scikit-learn's PCA.
        found: our estimate for each row.
        exact: log p(x) of each row under the trained decoder, in closed form.
        seconds: of the training.
    """

    data: str
    latent_dim: int
    x: np.ndarray
    vae: VAE
    score: float
    found: Evidence
    exact: np.ndarray
    seconds: float

    def difference(self) -> float:
        """Our mean log p(x) minus that of PCA."""
        return float(self.found.log_marginal.mean()) - self.score

    def within(self, errors: float = 3.0) -> float:
        """The share of rows whose estimate is within that many standard errors of the exact one."""
        distance = np.abs(self.found.log_marginal - self.exact)
        return float((distance <= errors * self.found.se).mean())


def standardised(data: str) -> np.ndarray:
    """The rows of a table, each column with mean 0 and standard deviation 1."""
    rows: np.ndarray = StandardScaler().fit_transform(TABLES[data]().data)
    return rows


def linear_gaussian(vae: VAE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """μ, W and σ of x | z ~ N(μ + W z, diag σ²), in the units of the data.

    They are read off the likelihood at z = 0 and at the unit vectors.
    """
    weight = next(vae.parameters())
    size = vae.spec.latent_dim
    origin = weight.new_zeros(1, size)
    units = torch.eye(size).to(weight)
    with torch.no_grad():
        p = vae.likelihood(torch.cat([origin, units]))
    mean = p.mean.numpy()
    return mean[0], (mean[1:] - mean[0]).T, p.stddev[0].numpy()


def log_density(vae: VAE, x: np.ndarray) -> np.ndarray:
    """log N(x | μ, W Wᵀ + diag σ²) of each row."""
    mean, weight, scale = linear_gaussian(vae)
    density: np.ndarray = multivariate_normal(
        mean, weight @ weight.T + np.diag(scale**2)
    ).logpdf(x)
    return density


def compare(data: str, latent_dim: int, *, seed: int = 0, **training: Any) -> Result:
    """Train on a table in float64 and compare with PCA; `training` replaces options of `fit`."""
    x = standardised(data)
    one_scale = {"kind": "normal", "scale": "learned"}
    fields: dict[str, Any] = {
        "data_shape": x.shape[1:],
        "likelihood": one_scale,
        "guide": "full_rank",
        "hidden_dims": (),
    }
    vae = VAE(latent_dim=latent_dim, seed=seed, **fields).double()
    began = time.perf_counter()
    fit(vae, x, seed=seed, **{**TRAINING, **training})
    seconds = time.perf_counter() - began
    score = float(PCA(latent_dim).fit(x).score(x))
    return Result(
        data, latent_dim, x, vae, score, evidence(vae, x), log_density(vae, x), seconds
    )


def line(result: Result) -> str:
    """One line of the table."""
    rows, columns = result.x.shape
    cells = [
        f"{result.data:<14}{rows:>6}{columns:>9}{result.latent_dim:>12}",
        f"{result.score:>11.4f}",
        f"{result.found.log_marginal.mean():>11.4f}",
        f"{result.difference():>12.4f}",
        f"{result.within():>13.1%}",
        f"{result.seconds:>9.1f}",
    ]
    return "".join(cells)


HEADER = (
    f"{'data':<14}{'rows':>6}{'columns':>9}{'latent_dim':>12}"
    f"{'PCA score':>11}{'log p(x)':>11}{'difference':>12}"
    f"{'within 3 se':>13}{'seconds':>9}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Linear VAEs against probabilistic PCA; nats per row."
    )
    parser.add_argument(
        "--data",
        nargs="+",
        choices=TABLES,
        default=list(TABLES),
        help="the tables (default: all)",
    )
    parser.add_argument(
        "--latent-dims",
        nargs="+",
        type=int,
        default=LATENT_DIMS,
        help="lengths of z (default: 2 5)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the weights and of the training (default: 0)",
    )
    options = parser.parse_args(arguments)
    print(HEADER)
    for data in options.data:
        for latent_dim in options.latent_dims:
            print(line(compare(data, latent_dim, seed=options.seed)), flush=True)


if __name__ == "__main__":
    main()
