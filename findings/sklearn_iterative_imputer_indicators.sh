#!/usr/bin/env bash
# scikit-learn 1.9.1: IterativeImputer leaves one-hot columns at their means.
# Guess: of a category coded as one column for each level, missing levels are predicted from the
#        other columns of the table.
# Seen:  where a category is missing, all of its columns are, and they start at their means. Each is
#        exactly 1 minus the others, so that the regression on them is perfect and its prediction is
#        the mean again: the fill never moves, and every missing cell gets the most frequent level.
#        With one column of the category left out it is predicted: here the errors fall by more than
#        half.
# Why:   categories must be coded before IterativeImputer takes them, and pandas.get_dummies and
#        OneHotEncoder give all columns by default. The result has the error of the mode, in silence.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scikit-learn==1.9.1
cd "$work" && env/bin/python -I - <<'PY'
import warnings

import numpy as np
from sklearn.datasets import load_iris
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

warnings.simplefilter("ignore")
iris = load_iris()
hidden = np.random.default_rng(0).random(150) < 0.3
levels = np.eye(3)[iris.target]
levels[hidden] = np.nan


def wrong(first):
    """The share of hidden species that are wrong, with the indicators from `first` on."""
    rows = np.column_stack([iris.data, levels[:, first:]])
    filled = IterativeImputer(max_iter=20, random_state=0).fit_transform(rows)[:, 4:]
    if first:
        filled = np.column_stack([1 - filled.sum(1), filled])
    return float((filled.argmax(1) != iris.target)[hidden].mean()), filled[hidden]


all_wrong, filled = wrong(0)
fewer_wrong, _ = wrong(1)
means = np.nanmean(levels, 0)
print("means of the indicators:", means.round(3), "imputed:", filled[:2].round(3).tolist())
print(f"wrong with all indicators {all_wrong:.2f}, with one left out {fewer_wrong:.2f}")
assert np.abs(filled - means).max() < 0.05, "the fill leaves the means now"
assert all_wrong > 0.5 and fewer_wrong < 0.5 * all_wrong
PY
