#!/usr/bin/env bash
# arviz 1.3.0 (arviz-stats 1.3.3), Python 3.12: az.mean, az.median, az.std, az.var, az.mad, az.iqr
#         and az.kl_divergence give numbers of two significant digits.
# Guess:  az.mean of draws from N(1234.5678, 1) is 1234.55, as their average; az.var of 0, 1, 2, 3
#         is 1.25 or 1.6667.
# Seen:   1200.0, on trees and arrays alike, and 1.7. round_to="none" or rcParams["stats.round_to"]
#         = "none" gives 1234.5527. az.hdi, az.ess, az.rhat and az.mcse don't round. az.summary
#         holds all digits and prints an interval of 1233.0 to 1236.2 as 1200 to 1200.
# Why:    a mean that is subtracted from the draws, or compared with another one, is off by 30
#         standard deviations. ArviZ 0.23 has none of these functions, and code that used
#         `.mean()` of xarray and moves to them changes its numbers.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.12}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.5.5 scipy==1.18.1 pandas==3.1.1 xarray==2026.9.0 \
    arviz==1.3.0 arviz-base==1.3.1 arviz-stats==1.3.3 arviz-plots==1.3.2
cd "$work" && env/bin/python -I - <<'PY'
import arviz as az
import numpy as np

draws = np.random.default_rng(0).normal(1234.5678, 1, size=(4, 1000))
tree = az.from_dict({"posterior": {"z": draws}})
mean = {
    "tree": float(az.mean(tree)["z"]),
    "array": float(az.mean(draws.ravel())),
    "median": float(az.median(tree)["z"]),
    "not rounded": float(az.mean(tree, round_to="none")["z"]),
    "xarray": float(tree["posterior"]["z"].mean()),
}
print("means of draws from N(1234.5678, 1):", mean)
assert mean["tree"] == mean["array"] == mean["median"] == 1200.0, "it rounds otherwise"
assert abs(mean["not rounded"] - draws.mean()) < 1e-9
small = np.arange(4.0)
print("variance of 0, 1, 2, 3:", float(az.var(small)), float(az.var(small, round_to="none")))
assert float(az.var(small)) == 1.7
interval = az.hdi(tree)["z"].values
print("az.hdi:", interval)
assert 3 < np.ptp(interval) < 3.4, "az.hdi rounds now"
row = az.summary(tree).to_string().splitlines()[1].split()
print("az.summary prints:", *row)
assert row[3:5] == ["1200", "1200"]
PY
