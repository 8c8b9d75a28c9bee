#!/usr/bin/env bash
# scikit-learn 1.9.1: PCA(whiten=True) has another covariance and another score than
# PCA(whiten=False).
# Guess: whiten scales what transform returns; the probabilistic model, get_covariance and score
#        stay.
# Seen:  with every component kept, get_covariance() is the sample covariance, and with whiten=True
#        it is its square, so that score (log likelihood of each row) falls from -4.28 to -21.08 in
#        the example. `components_` are of unit length either way, and the model multiplies them by
#        the standard deviations once more.
# Why:   a PCA baseline in nats, or a number of components chosen by cross-validated score, is wrong
#        for whitened PCA.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cd "$work" && env/bin/python -I - <<'PY'
import numpy as np
import scipy.stats as st
from sklearn.decomposition import PCA

rng = np.random.default_rng(0)
x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
sample = np.cov(x.T)
right = st.multivariate_normal(x.mean(0), sample).logpdf(x).mean()
plain, white = PCA().fit(x), PCA(whiten=True).fit(x)
print(
    f"score: plain {plain.score(x):.4f}, whitened {white.score(x):.4f}, of N(mean, sample "
    f"covariance) {right:.4f}"
)
print(
    "largest difference from the sample covariance: plain %.1e, whitened %.2f; whitened "
    "from its square %.1e"
    % (
        np.abs(plain.get_covariance() - sample).max(),
        np.abs(white.get_covariance() - sample).max(),
        np.abs(white.get_covariance() - sample @ sample).max(),
    )
)
assert np.allclose(plain.get_covariance(), sample) and np.isclose(plain.score(x), right)
assert np.allclose(white.get_covariance(), sample @ sample), "the whitened covariance has changed"
assert not np.isclose(white.score(x), right, atol=0.1), "the whitened score has changed"
PY
