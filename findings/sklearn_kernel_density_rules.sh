#!/usr/bin/env bash
# scikit-learn 1.9.1, scipy 1.17.1: bandwidth="scott" and "silverman" of KernelDensity don't look at
#        the spread of the data.
# Guess: Scott's rule is the standard deviation times n ** (-1 / (d + 4)), as in scipy's
#        gaussian_kde, which has the same two names: in other units the estimate is the same one.
# Seen:  of 500 draws of N(0, 1) both libraries have the bandwidth 0.29 and the held-out log density
#        of -1.42. Of the same draws times 1000 scipy's is 1000 times as wide; that of scikit-learn
#        is 0.29, and a held-out row scores -1126 nats on average instead of -8.3. Divided by 1000
#        it is 0.29 again, and the estimate a flat bump: +0.3 instead of 5.5 nats.
# Why:   log densities of a fitted model are compared with a kernel estimate, and codes are sampled
#        from one; unless columns are standardised, the rule's name promises what it doesn't do.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cd "$work" && env/bin/python -I -W error - <<'PY'
import numpy as np
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity

rng = np.random.default_rng(0)
train, test = rng.normal(size=500), rng.normal(size=2000)
for rule in ("scott", "silverman"):
    scores = {}
    for unit in (0.001, 1.0, 1000.0):
        ours = KernelDensity(bandwidth=rule).fit(unit * train[:, None])
        theirs = gaussian_kde(unit * train, bw_method=rule)
        score = ours.score_samples(unit * test[:, None]).mean()
        expected = theirs.logpdf(unit * test).mean()
        width = np.sqrt(theirs.covariance.item())
        print(f"{rule}, times {unit}: bandwidth {ours.bandwidth_:.4f}, scipy {width:.4g};", end=" ")
        print(f"log density of held-out rows {score:.2f}, scipy {expected:.2f}")
        scores[unit] = (ours.bandwidth_, width, score, expected)
    assert len({bandwidth for bandwidth, *_ in scores.values()}) == 1, "the spread counts now"
    assert np.isclose(scores[1000.0][1], 1000 * scores[1.0][1])
    assert abs(scores[1.0][2] - scores[1.0][3]) < 0.01, "they differ on standardised data too"
    assert scores[1000.0][2] < scores[1000.0][3] - 50, "rows in large units score well now"
    assert scores[0.001][2] < scores[0.001][3] - 4, "rows in small units score well now"
PY
