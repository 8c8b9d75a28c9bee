#!/usr/bin/env bash
# statsmodels 0.15.0: 95 % intervals of a linear regression by MICE with 2 imputations.
# Guess: they are Q ± t sqrt(T) with Rubin's degrees of freedom, (m - 1) / lambda², as in R's mice and
#        in Stata: with two imputations and half of the variance between them, t is 2.8.
# Seen:  Q ± 1.96 sqrt(T) for any number of imputations and rows, and p-values from the normal
#        distribution: of 200 nominal 95 % intervals for a slope, of whose cells 60 % are missing,
#        76 of 100 contain it, and 81 with Rubin's t from the same estimates and T.
#        `frac_miss_info` is lambda, without the correction for few imputations.
# Why:   MICE is run with few imputations (the documentation's examples have 10); the intervals then
#        look narrower, and the p-values smaller, than the method that is cited gives.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 statsmodels==0.15.0
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from statsmodels.imputation import mice

rng = np.random.default_rng(0)
np.random.seed(0)
covered = {"statsmodels": [], "Rubin": []}
for _ in range(200):
    x = rng.normal(size=80)
    y = x + rng.normal(size=80)
    holes = np.where(rng.random(80) < 0.6, np.nan, x)
    data = mice.MICEData(pd.DataFrame({"x": holes, "y": y}))
    result = mice.MICE("y ~ x", sm.OLS, data).fit(3, 2)
    slope, se = result.params[1], result.bse[1]
    lower, upper = result.conf_int()[1]
    assert np.isclose((upper - slope) / se, stats.norm.ppf(0.975)), "statsmodels has changed"
    df = 1 / result.frac_miss_info[1] ** 2  # (m - 1) / lambda²
    half = stats.t.ppf(0.975, df) * se
    covered["statsmodels"].append(lower < 1 < upper)
    covered["Rubin"].append(abs(slope - 1) < half)
for name, inside in covered.items():
    print(f"{name:12} {100 * np.mean(inside):.0f} of 100 intervals contain the slope")
print(f"the last one: lambda {result.frac_miss_info[1]:.2f}, df {df:.1f}, t {half / se:.2f}")
assert np.mean(covered["statsmodels"]) < np.mean(covered["Rubin"]) - 0.03
PY
