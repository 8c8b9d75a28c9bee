#!/usr/bin/env bash
# scikit-learn 1.9.1: IterativeImputer on a table one column of which is in other units.
# Guess: the imputations are the same in any unit of a column, as those of a linear regression are,
#        or a ConvergenceWarning says that they have not converged.
# Seen:  with one column in millionths (times 1e6) it stops after 1 round instead of 26, without a
#        warning; the MSE of the missing cells is 0.77 instead of 0.65, and cells of the *other*
#        columns differ by 0.2 standard deviations on average and 2 at most.
# Why:   the change of a round is compared with tol times the largest number of the whole table,
#        so that a column of large numbers (an income, a population, one outlier of 1e6) ends the
#        rounds for all others. Standardise before, or set `tol` to 0.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
cd "$work" && env/bin/python -I - <<'PY'
import warnings

import numpy as np
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

covariance = [[1.0, 0.8, 0.5], [0.8, 1.0, 0.3], [0.5, 0.3, 1.0]]
rng = np.random.default_rng(0)
x = rng.multivariate_normal([0, 0, 0], covariance, 300)
missing = rng.random(x.shape) < 0.5
holes = np.where(missing, np.nan, x)
found = {}
for unit in (1.0, 1e6):
    units = np.array([1.0, unit, 1.0])
    imputer = IterativeImputer(max_iter=100, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no warning is raised
        found[unit] = imputer.fit_transform(holes * units) / units
    error = np.square(found[unit] - x)[missing].mean()
    print(f"second column times {unit:7.0e}: {imputer.n_iter_:2d} rounds, MSE {error:.3f}")
    assert (imputer.n_iter_ == 1) == (unit != 1.0), "scikit-learn has changed"
others = missing[:, [0, 2]]
apart = np.abs(found[1e6] - found[1.0])[:, [0, 2]][others]
print(f"cells of the other columns differ by {apart.mean():.2f} on average, {apart.max():.2f} at most")
assert apart.max() > 0.5, "scikit-learn has changed"
PY
