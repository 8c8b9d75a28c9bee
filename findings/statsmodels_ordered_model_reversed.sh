#!/usr/bin/env bash
# statsmodels 0.15.0: OrderedModel(distr="logit") gives other log likelihoods when the scale is
# reversed, and no row less than -46.05.
# Guess: the cumulative logit model is the same model with the categories in reverse order and the
#        regressors negated: the same log likelihood for every row.
# Seen:  loglikeobs of a row 37 log odds off is -37.0 in the lowest category and -46.05 in the
#        highest; 51 off it is -46.04 and -46.05 instead of -51, 101 off -46.05 instead of -101:
#        log(cdf(upper) - cdf(lower) + 1e-20), where 1 - cdf is 0 from 37 on. Farther out it is
#        the same number, so that such a row has no slope.
# Why:   a row that fits badly stops pulling, sooner at one end of the scale than at the other, so
#        the fit depends on the direction of the coding where there are outliers.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 statsmodels==0.15.0
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import numpy as np
from statsmodels.miscmodels.ordinal_model import OrderedModel

slope, first, step = 1.0, -1.0, 2.0  # cutpoints -1 and 1, which are their own mirror image
params = np.array([slope, first, math.log(step)])


def log_likelihoods(category, regressor):
    """Of one row, beside two that give the model its three categories."""
    y = np.array([category, 0, 1, 2])
    x = np.array([[regressor], [0.0], [0.0], [0.0]])
    return OrderedModel(y, x, distr="logit").loglikeobs(params)[0]


for far, low, high in [(9, -10, -10), (36, -37, -46.05), (50, -46.04, -46.05), (100, -46.05, -46.05)]:
    lowest, highest = log_likelihoods(0, far), log_likelihoods(2, -far)
    print(f"exact {-far - 1:5d}: lowest category {lowest:.4f}, highest category {highest:.4f}")
    assert math.isclose(lowest, low, abs_tol=0.006), "the lowest category has changed"
    assert math.isclose(highest, high, abs_tol=0.006), "the highest category has changed"

assert log_likelihoods(2, -40) == log_likelihoods(2, -60)

rng = np.random.default_rng(0)
x = np.linspace(-2, 2, 400)
y = np.digitize(2 * x + rng.logistic(size=400), [-1.0, 1.0])
one = OrderedModel(y, x[:, None], distr="logit").loglike(params)
other = OrderedModel(2 - y, -x[:, None], distr="logit").loglike(params)
print(f"without outliers: {one:.6f} and reversed {other:.6f}")
assert math.isclose(one, other, rel_tol=1e-12)
PY
