#!/usr/bin/env bash
# anesthetic 2.16.0 on pandas 2.3.3: rows that are drawn by their weights keep the weights.
# Guess: draws of Samples.sample(n, replace=True) are equally weighted draws of the posterior, for
#        the weights have chosen them; and sum() is a weighted sum, as mean() is a weighted mean.
# Seen:  for 50,000 draws of N(0, 1) with weights exp(x), the target N(1, 1), the mean is 1.01; that
#        of sample(4000, replace=True) is 2.05. The rows are drawn by weight, and the result has
#        the weights once more, so that its mean is under weights exp(2x). A series does the same.
#        drop_weights() of the result has a mean of 1.03. sum() is 42, the unweighted one (n times
#        the mean is 50,351); value_counts(normalize=True) of x > 0 says 0.50, mean() of it 0.84.
# Why:   drawing fewer points for a plot, or for a posterior predictive, moves every mean and every
#        interval by as much as the weighting did.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 matplotlib==3.10.9 anesthetic==2.16.0
cd "$work" && MPLCONFIGDIR="$work" env/bin/python -I -W ignore - <<'PY'
import numpy as np
from anesthetic import Samples

x = np.random.default_rng(0).normal(size=50_000)
posterior = Samples(x[:, None], weights=np.exp(x), columns=["x"])
drawn = posterior.sample(4000, replace=True, random_state=0)
column = posterior.x.sample(4000, replace=True, random_state=0)
print("mean of all rows", posterior.x.mean().round(3), "and of sample:", drawn.x.mean().round(3))
print("without weights:", drawn.drop_weights().x.mean().round(3))
assert abs(posterior.x.mean() - 1) < 0.03
assert drawn.isweighted() and column.isweighted(), "the result has no weights now"
assert abs(drawn.x.mean() - 2) < 0.2 and abs(column.mean() - 2) < 0.2, "weights count once now"
assert abs(drawn.drop_weights().x.mean() - 1) < 0.06

positive = posterior.x > 0
share = positive.value_counts(normalize=True)[True]
print("sum", posterior.x.sum().round(1), "n times the mean", (50_000 * posterior.x.mean()).round(1))
print("share above 0 by value_counts", share.round(3), "by mean", positive.mean().round(3))
assert abs(posterior.x.sum() - x.sum()) < 1e-6, "the sum is weighted now"
assert abs(share - 0.5) < 0.01 and abs(positive.mean() - 0.84) < 0.01, "value_counts has changed"
PY
