"""What missing cells cost: a step of training, and the imputation of 10 000 rows."""

import time
from typing import Any

import numpy as np

import pyro_vae as pv
from benchmarks.imputation.simple import by_ridge, by_trees

ROWS, COLUMNS, FACTORS = 10_000, 20, 3
SHARE = 0.2
DRAWS = 1000
EPOCHS = 5
ROUNDS = 3


def rows() -> tuple[np.ndarray, np.ndarray]:
    """A nonlinear table of 3 factors, whole and with a fifth of its cells missing."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(ROWS, FACTORS))
    whole = np.tanh(factors @ rng.normal(size=(FACTORS, COLUMNS)))
    whole = (whole + 0.3 * rng.normal(size=whole.shape)).astype(np.float32)
    return whole, np.where(rng.random(whole.shape) < SHARE, np.nan, whole)


def fitted(x: np.ndarray, missing: Any) -> tuple[pv.VAE, float]:
    """A model, and the median seconds of its epochs after the first, which compiles."""
    vae = pv.VAE(data_shape=(COLUMNS,), latent_dim=4, missing=missing)
    objective = {"kind": "iwae", "num_particles": 5}
    run = pv.fit(vae, x, epochs=EPOCHS, objective=objective, progress=False)
    return vae, float(np.median([row["seconds"] for row in run.history[1:]]))


def report_cost() -> None:
    """Print the ratio of epochs, by turns, and the seconds of each method of imputation."""
    whole, holed = rows()
    ratios = []
    for _ in range(ROUNDS):
        _, without = fitted(whole, "none")
        vae, with_holes = fitted(holed, "at_random")
        ratios.append(with_holes / without)
    print(
        f"{ROWS} x {COLUMNS}, {SHARE:.0%} missing, importance weighted bound, 5 draws"
    )
    print(f"an epoch with missing cells: {np.median(ratios):.2f} times one without")
    print(f"{'method':<26} {'s':>7} {'MSE':>7}")
    missing = np.isnan(holed)
    started = time.perf_counter()
    run = pv.fit(vae, holed, epochs=30, progress=False)
    print(f"{'VAE, 30 epochs of fit':<26} {time.perf_counter() - started:>7.1f}")
    started = time.perf_counter()
    how: dict[str, Any] = {"num_particles": DRAWS, "progress": False}
    found = np.asarray(pv.impute(run.vae, holed, num_imputations=0, **how).mean)
    show("VAE, impute, 1000 draws", started, found, whole, missing)
    for name, method in {
        "IterativeImputer, ridge": by_ridge,
        "IterativeImputer, trees": by_trees,
    }.items():
        started = time.perf_counter()
        found = method(holed, 0).mean
        show(name, started, found, whole, missing)


def show(
    name: str,
    started: float,
    found: np.ndarray,
    whole: np.ndarray,
    missing: np.ndarray,
) -> None:
    """One line: seconds, and the mean squared error of the missing cells."""
    seconds = time.perf_counter() - started
    error = float(np.square(found - whole)[missing].mean())
    print(f"{name:<26} {seconds:>7.1f} {error:>7.4f}", flush=True)
