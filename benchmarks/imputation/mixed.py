"""The penguins, with their own missing cells and a fifth more: numbers and categories."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

import pyro_vae as pv

CATEGORIES = ("species", "island", "sex")
NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
SHARE = 0.2
ROUNDS = 5
MEMBERS = 3


def penguins() -> pd.DataFrame:
    """The Palmer penguins, from the package palmerpenguins."""
    from palmerpenguins import load_penguins

    frame: pd.DataFrame = load_penguins()[[*CATEGORIES, *NUMBERS]]
    return frame


def by_mean(holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The mean of numbers, the most frequent category."""
    filled = holed.copy()
    for name in holed:
        simple = holed[name].mean() if name in NUMBERS else holed[name].mode()[0]
        filled[name] = holed[name].fillna(simple)
    return filled


def coded(frame: pd.DataFrame) -> pd.DataFrame:
    """Standardised numbers, and a column of 0 and 1 for each category, missing where it is."""
    numbers = frame[[*NUMBERS]]
    columns = [(numbers - numbers.mean()) / numbers.std()]
    for name in CATEGORIES:
        indicators = pd.get_dummies(frame[name], prefix=name, dtype=float)
        indicators[frame[name].isna()] = np.nan
        columns.append(indicators)
    return pd.concat(columns, axis=1)


def by_ridge(holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """IterativeImputer(BayesianRidge) on indicators; the category with the largest one.

    One indicator of each column is left out: with all of them, one is exactly 1 minus the others,
    and the regressions leave missing ones at their mean.
    """
    whole = coded(holed)
    left_out = {name: _indicators(whole, name)[0] for name in CATEGORIES}
    before = whole.drop(columns=list(left_out.values()))
    imputer = IterativeImputer(BayesianRidge(), max_iter=20, random_state=seed)
    after = pd.DataFrame(
        imputer.fit_transform(before), columns=before.columns, index=before.index
    )
    filled = holed.copy()
    for name in NUMBERS:
        number = after[name] * holed[name].std() + holed[name].mean()
        filled[name] = holed[name].fillna(number)
    for name in CATEGORIES:
        indicators = after[_indicators(after, name)].copy()
        indicators[left_out[name]] = 1 - indicators.sum(axis=1)
        likely = indicators.idxmax(axis=1).str.removeprefix(f"{name}_")
        filled[name] = holed[name].where(holed[name].notna(), likely)
    return filled


def _indicators(frame: pd.DataFrame, name: str) -> list[str]:
    return [column for column in frame if column.startswith(f"{name}_")]


def by_trees(holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Trees for each column in turn, as missForest (Stekhoven, Bühlmann, 2012)."""
    filled = by_mean(holed, seed)
    for _ in range(ROUNDS):
        for name in holed:
            lacking = holed[name].isna()
            if not lacking.any():
                continue
            others = coded(filled.drop(columns=name).assign(**{name: holed[name]}))
            own = [c for c in others if c == name or c.startswith(f"{name}_")]
            inputs = others.drop(columns=own)
            kind = ExtraTreesRegressor if name in NUMBERS else ExtraTreesClassifier
            trees = kind(n_estimators=100, random_state=seed)
            trees.fit(inputs[~lacking], filled.loc[~lacking, name])
            filled.loc[lacking, name] = trees.predict(inputs[lacking])
    return filled


def by_vae(holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """An ensemble of models of the table."""
    vae = pv.VAE.from_data(
        holed,
        latent_dim=4,
        hidden_dims=(64, 64),
        likelihood={"kind": "normal", "initial_scale": 0.5},
        seed=seed,
    )
    runs = pv.fit_ensemble(vae, holed, ensemble=MEMBERS, seed=seed, progress=False)
    members = [run.vae for run in runs]
    found = pv.impute(members, holed, num_imputations=0, progress=False)
    filled: pd.DataFrame = found.mean
    return filled


METHODS: dict[str, Callable[[pd.DataFrame, int], pd.DataFrame]] = {
    "mean, mode": by_mean,
    "IterativeImputer, ridge": by_ridge,
    "trees, as missForest": by_trees,
    f"VAE, ensemble of {MEMBERS}": by_vae,
}


def errors(
    whole: pd.DataFrame, hidden: pd.DataFrame, filled: pd.DataFrame
) -> list[float]:
    """Of each column the root mean squared error in sd, or the share of wrong categories."""
    found = []
    for name in whole:
        own = hidden[name]
        truth, guess = whole.loc[own, name], filled.loc[own, name]
        if name in NUMBERS:
            distance = (guess.astype(float) - truth) / whole[name].std()
            found.append(float(np.sqrt(np.square(distance).mean())))
        else:
            found.append(float((guess.astype(str) != truth.astype(str)).mean()))
    return found


def report_mixed(masks: int = 5) -> None:
    """Print the error of each column and method, the mean over masks."""
    try:
        whole = penguins()
    except ModuleNotFoundError as missing:
        print(f"penguins: left out, needs `pip install palmerpenguins` ({missing})")
        return
    own = int(whole.isna().to_numpy().sum())
    print(
        f"penguins, {len(whole)} rows, {own} cells missing and {SHARE:.0%} more hidden"
    )
    names = "".join(f"{name[:12]:>14}" for name in whole)
    print(f"{'method':<26}{names} {'s':>5}")
    for label, method in METHODS.items():
        found = []
        started = time.perf_counter()
        for seed in range(masks):
            chosen = np.random.default_rng(seed).random(whole.shape) < SHARE
            hidden = whole.notna() & chosen
            found.append(errors(whole, hidden, method(whole.mask(hidden), seed)))
        seconds = (time.perf_counter() - started) / masks
        shown = "".join(f"{error:>14.3f}" for error in np.mean(found, 0))
        print(f"{label:<26}{shown} {seconds:>5.0f}", flush=True)
