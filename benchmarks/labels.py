"""Digits with 100 labels by models with a label, and what the sum over labels costs.

    python -m benchmarks.labels                  # both tables
    python -m benchmarks.labels --tables accuracy --seeds 3
    python -m benchmarks.labels --tables accuracy --standardize all     # one unit for all pixels

Accuracy: the labels of 100 of 1797 images are known, and 500 others are asked for. All images are
seen in training. LabelSpreading has the same rows.

Cost: an epoch in which each row is decoded with each of 10 labels, relative to one with a single
label drawn from q(y | x), at the sizes of `benchmarks.speed`, both compiled, without the terms of
the classifier.

References:
    Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed, Welling, 2014).
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import pyro_vae as pv
from pyro_vae.analysis.classification.results import Classification
from pyro_vae.compiler import products
from pyro_vae.labels import with_label
from pyro_vae.objectives import ELBO, Terms
from pyro_vae.objectives.labelled import Labelled

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
        probabilities = model.predict_proba(pixels)
    # of rows that no label reaches nothing is known
    return np.nan_to_num(probabilities, nan=1 / CLASSES)


def by_label(
    pixels: np.ndarray, known: np.ndarray, seed: int, standardize: str
) -> np.ndarray:
    """q(y | x) of a model with a label."""
    vae = pv.VAE(
        data_shape=(pixels.shape[1],),
        latent_dim=8,
        hidden_dims=(256, 256),
        likelihood={"kind": "binomial", "total_count": 16},
        context={"label": CLASSES},
        standardize=standardize,
        seed=seed,
    )
    context = np.where(known < 0, np.nan, known)[:, None]
    x = pixels.astype(np.float32)
    how: dict[str, Any] = {"validation": None, "seed": seed, "progress": False}
    pv.fit(vae, x, context=context, epochs=EPOCHS, **how)
    return pv.classify(vae, x).probabilities


def report_accuracy(seeds: int, standardize: str) -> None:
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
                p = by_label(pixels, known, seed, standardize)
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


@dataclass(frozen=True, kw_only=True)
class OneDraw(Labelled):
    """The bound with one label of each row, drawn from q(y | x), and its score's gradient."""

    def __call__(self, model: Any, guide: Any, x: Tensor, beta: float = 1.0) -> Terms:
        rows, context = model.split(x)
        log_q = guide.log_q_y(rows, context)
        drawn = torch.multinomial(log_q.exp(), 1).squeeze(-1)
        chosen = log_q.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
        whole = torch.cat([rows, with_label(context, drawn)], -1)
        complete = [
            partial(nn.Module.__call__, one, complete=True) for one in (model, guide)
        ]
        terms = self.inner(*complete, whole, beta)
        loss = terms.loss + chosen - model.label()[drawn]
        return terms._replace(
            loss=loss + chosen * loss.detach() - (chosen * loss).detach()
        )


def epoch_seconds(size: dict[str, Any], objective: Labelled) -> float:
    """The median seconds of an epoch after the first, which compiles."""
    width = size["data_shape"][0]
    x = (np.random.default_rng(0).random((ROWS, width)) < 0.3).astype(np.float32)
    vae = pv.VAE(likelihood="bernoulli", context={"label": CLASSES}, **size)
    how: dict[str, Any] = {"validation": None, "progress": False, "compile": "step"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no label is known
        run = pv.fit(
            vae, x, epochs=ROUNDS + 1, batch_size=BATCH, objective=objective, **how
        )
    return float(np.median([row["seconds"] for row in run.history[1:]]))


def batch_operations(size: dict[str, Any], objective: Labelled) -> int:
    """Floating-point operations of the matrix products of a gradient."""
    vae = pv.VAE(likelihood="bernoulli", context={"label": CLASSES}, **size)
    labels = torch.full((BATCH, 1), torch.nan)
    rows = torch.cat([torch.zeros(BATCH, *size["data_shape"]), labels], -1)

    # torch counts its own products only
    with products.multiplied_by("mkl"), FlopCounterMode(display=False) as counter:
        objective(vae.model, vae.guide, rows).loss.mean().backward()
    return counter.get_total_flops()


def report_cost() -> None:
    """Print how much longer an epoch with all labels is than one with a draw for each row."""
    every = Labelled(inner=ELBO(), weight=0.0, consistency=0.0)
    one = OneDraw(inner=ELBO(), weight=0.0, consistency=0.0)
    for name, size in SIZES.items():
        ratios = [
            epoch_seconds(size, every) / epoch_seconds(size, one) for _ in range(3)
        ]
        more = batch_operations(size, every) / batch_operations(size, one)
        print(
            f"{name}: {CLASSES} labels, {np.median(ratios):.2f} times one draw, "
            f"with {more:.1f} times the multiplications",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables = {
        "accuracy": lambda: report_accuracy(options.seeds, options.standardize),
        "cost": report_cost,
    }
    parser.add_argument("--tables", nargs="*", choices=tables, default=list(tables))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--standardize",
        choices=("feature", "all", "none"),
        default="feature",
        help="the units of the model's inputs (default: each pixel its own)",
    )
    options = parser.parse_args()
    for table in options.tables:
        tables[table]()


if __name__ == "__main__":
    main()
