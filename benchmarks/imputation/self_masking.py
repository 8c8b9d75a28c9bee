"""Cells that are hidden because of their values."""

import time
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer

import pyro_vae as pv
from benchmarks.imputation.simple import by_mean, by_normal
from benchmarks.imputation.tables import standardised

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
