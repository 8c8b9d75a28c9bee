"""Digits with 100 labels: the label is a column that is mostly missing.

The label of 1797 images is known for 100, and asked for 500 of the others. Our model has the pixels
and the label as columns, and sees all images.

References:
    Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed, Welling, 2014),
    for the setting.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

import pyro_vae as pv

LABELLED, ASKED = 100, 500
CLASSES = 10
MEMBERS = 4
EPOCHS = 100


def rows_and_labels(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels that vary, labels, and which rows are labelled and which are asked for."""
    digits = load_digits()
    pixels = digits.data[:, digits.data.std(0) > 0]
    order = np.random.default_rng(seed).permutation(len(pixels))
    return pixels, digits.target, order[:LABELLED], order[-ASKED:]


def by_logistic(
    pixels: np.ndarray, labels: np.ndarray, labelled: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Logistic regression on the labelled rows."""
    model = LogisticRegression(max_iter=5000).fit(
        pixels[labelled] / 16, labels[labelled]
    )
    probabilities: np.ndarray = model.predict_proba(pixels[asked] / 16)
    return probabilities


def by_spreading(
    pixels: np.ndarray, labels: np.ndarray, labelled: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Labels that spread over the graph of nearest neighbours of all rows."""
    known = np.full(len(labels), -1)
    known[labelled] = labels[labelled]
    model = LabelSpreading(kernel="knn", n_neighbors=7).fit(pixels, known)
    with np.errstate(invalid="ignore"):
        probabilities: np.ndarray = model.predict_proba(pixels[asked])
    # of rows that no label reaches nothing is known
    return np.nan_to_num(probabilities, nan=1 / CLASSES)


def by_vae(
    pixels: np.ndarray, labels: np.ndarray, labelled: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """p(label | pixels) of an ensemble."""
    column = np.full((len(pixels), 1), np.nan)
    column[labelled, 0] = labels[labelled]
    rows = np.concatenate([pixels, column], 1).astype(np.float32)
    size = pixels.shape[1]
    groups: list[dict[str, Any]] = [
        {"columns": list(range(size)), "kind": "beta_binomial", "total_count": 16},
        {"columns": size, "kind": "categorical", "num_classes": CLASSES},
    ]
    vae = pv.VAE(
        data_shape=(size + 1,),
        latent_dim=8,
        hidden_dims=(256, 256),
        likelihood={"kind": "mixed", "columns": groups},
        missing="at_random",
    )
    runs = pv.fit_ensemble(vae, rows, ensemble=MEMBERS, epochs=EPOCHS, progress=False)
    found = pv.predict(
        [run.vae for run in runs],
        rows[asked],
        columns=[size],
        num_particles=300,
        progress=False,
    )
    names = [f"{size}[{label}]" for label in range(CLASSES)]
    return found[names].to_numpy()


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "logistic regression": by_logistic,
    "LabelSpreading": by_spreading,
    f"VAE, ensemble of {MEMBERS}": by_vae,
}


def report_labels(seed: int = 0) -> None:
    """Print accuracy, log loss and calibration of the asked labels."""
    pixels, labels, labelled, asked = rows_and_labels(seed)
    truth = labels[asked]
    print(f"digits, {LABELLED} labels, {ASKED} asked for; an M2 published with .918")
    print(f"{'method':<26} {'accuracy':>9} {'log loss':>9} {'confidence':>11} {'s':>6}")
    for name, method in METHODS.items():
        started = time.perf_counter()
        p = method(pixels, labels, labelled, asked)
        seconds = time.perf_counter() - started
        accuracy = float((p.argmax(1) == truth).mean())
        loss = float(-np.log(p[np.arange(ASKED), truth].clip(1e-12)).mean())
        # of a calibrated method the mean confidence is the accuracy
        confidence = float(p.max(1).mean())
        print(
            f"{name:<26} {accuracy:>9.3f} {loss:>9.3f} {confidence:>11.3f} {seconds:>6.0f}",
            flush=True,
        )
