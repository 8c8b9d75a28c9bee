"""Held-out log p(x) of small tables with all defaults, compared with that of normal distributions.

    python -m benchmarks.defaults
    python -m benchmarks.defaults --splits 5 --data iris wine

`pv.fit(pv.VAE(data_shape=(columns,)), x)` and nothing else, on the rows that `pyro-vae fit` would
take (a fifth is held out, chosen by the seed 0; further splits have the seeds 1, 2, ...). Beside it
stand independent normals and one normal with a full covariance, both with the moments of the
training rows. The penguins (four numeric columns, rows without missing values) are there where the
package palmerpenguins is installed.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from pyro_vae import VAE, evidence, fit
from pyro_vae.data import Splits
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.splits import hold_out


def penguins() -> np.ndarray:
    """Bill length and depth, flipper length and body mass of the Palmer penguins."""
    from palmerpenguins import load_penguins

    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    rows: np.ndarray = load_penguins()[columns].dropna().to_numpy(float)
    return rows


TABLES: dict[str, Callable[[], Any]] = {
    "wine": lambda: load_wine().data,
    "breast cancer": lambda: load_breast_cancer().data,
    "penguins": penguins,
    "diabetes": lambda: load_diabetes().data,
    "iris": lambda: load_iris().data,
}


class Result(NamedTuple):
    """Held-out log p(x) of one split in nats per row.

    Attributes:
        model, independent, full: of the model, of independent normals, and of one with a full
            covariance.
        untrusted: share of rows whose estimate is not to be trusted.
        epochs, best_epoch: of the training.
        seconds: CPU time of the training and of the evidence.
    """

    model: float
    independent: float
    full: float
    untrusted: float
    epochs: int
    best_epoch: int
    seconds: float


def split(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows to fit and those held out, as the command chooses them."""
    table = Splits("table", train=x, valid=None, test=None, columns=None)
    rows = hold_out(table, DataOptions(source="table", seed=seed))
    return rows.splits.train, rows.test


def independent_normals(train: np.ndarray, test: np.ndarray) -> float:
    """Mean log ∏ᵢ N(xᵢ | mᵢ, sᵢ²) with the moments of the training rows."""
    return float(norm.logpdf(test, train.mean(0), train.std(0)).sum(1).mean())


def full_normal(train: np.ndarray, test: np.ndarray) -> float:
    """Mean log N(x | m, S) with the moments of the training rows, on standardised columns."""
    mean = train.mean(0)
    spread = train.std(0)
    covariance = np.cov(((train - mean) / spread).T, bias=True)
    standard = multivariate_normal(np.zeros(len(mean)), covariance).logpdf(
        (test - mean) / spread
    )
    return float(standard.mean() - np.log(spread).sum())


def measure(x: np.ndarray, seed: int) -> Result:
    """One split of a table."""
    train, test = split(x, seed)
    began = time.process_time()
    run = fit(VAE(data_shape=x.shape[1:]), train)
    estimate = evidence(run.vae, test)
    seconds = time.process_time() - began
    return Result(
        model=float(estimate.log_marginal.mean()),
        independent=independent_normals(train, test),
        full=full_normal(train, test),
        untrusted=float(estimate.unreliable.mean()),
        epochs=len(run.history),
        best_epoch=run.best_epoch,
        seconds=seconds,
    )


def line(name: str, x: np.ndarray, results: Sequence[Result]) -> str:
    """One line of the table: means over the splits."""
    mean = Result(*np.mean(results, 0))
    cells = [
        f"{name:<14}{len(x):>5}{x.shape[1]:>8}",
        f"{mean.model:>10.2f}{mean.independent:>13.2f}{mean.full:>10.2f}",
        f"{mean.model - mean.independent:>+10.2f}",
        f"{mean.model - mean.full:>+10.2f}",
        f"{mean.untrusted:>11.1%}",
        f"{mean.best_epoch:>8.0f}/{mean.epochs:<6.0f}",
        f"{mean.seconds:>8.1f}",
    ]
    return "".join(cells)


HEADER = (
    f"{'data':<14}{'rows':>5}{'columns':>8}"
    f"{'log p(x)':>10}{'independent':>13}{'full':>10}"
    f"{'- indep.':>10}{'- full':>10}"
    f"{'k > 0.7':>11}{'best epoch':>15}{'CPU s':>8}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Small tables with all defaults; nats per row."
    )
    parser.add_argument(
        "--data",
        nargs="+",
        choices=TABLES,
        default=list(TABLES),
        help="the tables (default: all)",
    )
    parser.add_argument(
        "--splits",
        type=int,
        default=1,
        help="random splits, seeds 0, 1, ... (default: 1)",
    )
    options = parser.parse_args(arguments)
    print(HEADER)
    for name in options.data:
        try:
            x = TABLES[name]()
        except ImportError as error:
            print(f"{name:<14}left out: {error}; pip install palmerpenguins")
            continue
        results = [measure(x, seed) for seed in range(options.splits)]
        print(line(name, x, results), flush=True)


if __name__ == "__main__":
    main()
