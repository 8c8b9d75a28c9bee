"""Digits with 100 labels by models with a label, and what the sum over labels costs.

    python -m benchmarks.labels                  # both tables
    python -m benchmarks.labels --tables accuracy --seeds 3

Accuracy: the labels of 100 of 1797 images are known, and 500 others are asked for. All images are
seen in training. LabelSpreading has the same rows.

Cost: an epoch in which each row is decoded with each of 10 labels, relative to one in which the
label is given, at the sizes of `benchmarks.speed`, both compiled.

References:
    Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed, Welling, 2014).
"""

import argparse
import time
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.semi_supervised import LabelSpreading

import pyro_vae as pv
from pyro_vae.analysis.classification.results import Classification

LABELLED, ASKED, CLASSES = 100, 500, 10
EPOCHS = 100
SIZES: dict[str, dict[str, Any]] = {
    "S": {"data_shape": (64,), "hidden_dims": (64,), "latent_dim": 2},
    "M": {"data_shape": (784,), "hidden_dims": (200, 200), "latent_dim": 50},
}
ROWS, BATCH, ROUNDS = 6400, 100, 5


def digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels that vary, labels, and which rows are labelled and which are asked for."""
    found = load_digits()
    pixels = found.data[:, found.data.std(0) > 0]
    order = np.random.default_rng(seed).permutation(len(pixels))
    return pixels, found.target, order[:LABELLED], order[-ASKED:]


def by_spreading(pixels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Probabilities by labels that spread over the graph of nearest neighbours."""
    model = LabelSpreading(kernel="knn", n_neighbors=7)
    with np.errstate(invalid="ignore"):
        model.fit(pixels, known.astype(int))
    # of rows that no label reaches nothing is known
    return np.nan_to_num(model.label_distributions_, nan=1 / CLASSES)


def by_label(pixels: np.ndarray, known: np.ndarray, seed: int) -> np.ndarray:
    """q(y | x) of a model with a label."""
    vae = pv.VAE(
        data_shape=(pixels.shape[1],),
        latent_dim=8,
        hidden_dims=(256, 256),
        likelihood={"kind": "binomial", "total_count": 16},
        context={"label": CLASSES},
        seed=seed,
    )
    context = np.where(known < 0, np.nan, known)[:, None]
    x = pixels.astype(np.float32)
    how: dict[str, Any] = {"validation": None, "seed": seed, "progress": False}
    pv.fit(vae, x, context=context, epochs=EPOCHS, **how)
    return pv.classify(vae, x).probabilities


def report_accuracy(seeds: int) -> None:
    """Print accuracy, log loss and calibration error of the asked labels."""
    print(f"digits, {LABELLED} labels, {ASKED} asked for")
    print(
        f"{'method':<20} {'seed':>4} {'accuracy':>9} {'log loss':>9} {'ece':>6} {'s':>5}"
    )
    for name in ("LabelSpreading", "VAE with a label"):
        accuracies = []
        for seed in range(seeds):
            pixels, labels, labelled, asked = digits(seed)
            known = np.full(len(labels), -1.0)
            known[labelled] = labels[labelled]
            started = time.process_time()
            if name == "LabelSpreading":
                p = by_spreading(pixels, known)
            else:
                p = by_label(pixels, known, seed)
            seconds = time.process_time() - started
            classes = tuple(range(CLASSES))
            found = Classification(p[asked].clip(1e-12), classes, labels[asked])
            accuracies.append(found.accuracy)
            print(
                f"{name:<20} {seed:>4} {found.accuracy:>9.3f} {found.log_loss:>9.3f} "
                f"{found.ece:>6.3f} {seconds:>5.0f}",
                flush=True,
            )
        print(f"{name:<20} mean {np.mean(accuracies):>9.3f}")


def epoch_seconds(
    size: dict[str, Any], context: dict[str, Any], given: np.ndarray
) -> float:
    """The median seconds of an epoch after the first, which compiles."""
    width = size["data_shape"][0]
    x = (np.random.default_rng(0).random((ROWS, width)) < 0.3).astype(np.float32)
    vae = pv.VAE(likelihood="bernoulli", context=context, **size)
    how: dict[str, Any] = {"validation": None, "progress": False, "compile": "step"}
    run = pv.fit(vae, x, context=given, epochs=ROUNDS + 1, batch_size=BATCH, **how)
    return float(np.median([row["seconds"] for row in run.history[1:]]))


def report_cost() -> None:
    """Print how much longer an epoch with unknown labels is than one with given ones."""
    rng = np.random.default_rng(0)
    given = np.eye(CLASSES)[rng.integers(CLASSES, size=ROWS)]
    unknown = np.full((ROWS, 1), np.nan)
    label = {"classes": CLASSES, "weight": 0.0, "consistency": 0.0}
    for name, size in SIZES.items():
        pairs = []
        for _ in range(3):
            one = epoch_seconds(size, {"dim": CLASSES}, given)
            every = epoch_seconds(size, {"label": label}, unknown)
            pairs.append(every / one)
        print(f"{name}: {CLASSES} labels, {np.median(pairs):.2f} times one label")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables = {"accuracy": lambda: report_accuracy(options.seeds), "cost": report_cost}
    parser.add_argument("--tables", nargs="*", choices=tables, default=list(tables))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for table in options.tables:
        tables[table]()


if __name__ == "__main__":
    main()
