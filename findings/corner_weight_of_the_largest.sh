#!/usr/bin/env bash
# corner 2.3.0 and dynesty 3.1.0: a weighted quantile doesn't depend on the weight of the largest
# value.
# Guess: quantile(x, 0.5, weights=w) is a value with half of the weight on either side: for x = 0,
#        1, 2 with 98 % of the weight on 2 it is 2. And turning x round turns the quantiles round:
#        the median of -x is minus that of x.
# Seen:  it is 1.0, and so it is for weights 1, 1, w and any w from 0.001 to a million. With 98 % on
#        0 it is 0.505, and the median of -x is then -1. The last of the sorted weights is left
#        out of the cumulative sum, between whose points it interpolates. NumPy's quantile with
#        weights (method "inverted_cdf") says 2 and 0. With equal weights it is the usual quantile.
# Why:   the intervals of corner.corner(weights=) and of dynesty's plots are such quantiles.
#        Importance weights of which one dominates, and values with their frequencies, give numbers
#        far from where the mass is, and other ones at the upper end than at the lower.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 matplotlib==3.10.9 corner==2.3.0 dynesty==3.1.0
cd "$work" && MPLCONFIGDIR="$work" env/bin/python -I -W ignore - <<'PY'
import corner
import numpy as np
from dynesty.utils import quantile as dynesty_quantile

x = np.array([0.0, 1.0, 2.0])


def by_corner(values, weights):
    return float(corner.quantile(values, [0.5], weights=weights)[0])


def by_dynesty(values, weights):
    return float(dynesty_quantile(values, [0.5], weights=weights)[0])


def by_numpy(values, weights):
    return float(np.quantile(values, 0.5, weights=weights, method="inverted_cdf"))


for weights in ([0.01, 0.01, 0.98], [0.98, 0.01, 0.01]):
    w = np.array(weights)
    print(weights, "corner", by_corner(x, w), "dynesty", by_dynesty(x, w), "numpy", by_numpy(x, w))
    print("    of -x: corner", by_corner(-x, w), "dynesty", by_dynesty(-x, w))
upper, lower = np.array([0.01, 0.01, 0.98]), np.array([0.98, 0.01, 0.01])
assert (by_numpy(x, upper), by_numpy(x, lower)) == (2, 0)
for median in (by_corner, by_dynesty):
    assert np.isclose(median(x, upper), 1), "the weight of the largest value counts now"
    assert np.isclose(median(x, lower), 0.505, atol=1e-3), "the interpolation has changed"
    assert np.isclose(median(-x, lower), -1), "the weight of the largest value counts now"
    for largest in (1e-3, 1.0, 1e6):
        assert np.isclose(median(x, np.array([1.0, 1.0, largest])), 1), "the weight counts now"
    assert np.isclose(median(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4)), 2.5)
PY
