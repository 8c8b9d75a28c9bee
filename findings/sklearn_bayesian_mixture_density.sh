#!/usr/bin/env bash
# scikit-learn 1.9.1: BayesianGaussianMixture.score_samples is the log of something that does not
# integrate to one.
# Guess: "log-likelihood of each sample" is the log of a density, as it is for GaussianMixture.
# Seen:  one component: exp(score_samples) integrates to 0.85 (2 features, 20 rows), 0.93 (2, 50),
#        0.26 (10, 20) and 0.55 (10, 50); for GaussianMixture to 1. It is exp(E[log weight] + E[log
#        normal]) over the variational posterior; the posterior predictive would be a mixture of
#        Student-t.
# Why:   as a baseline in nats it is 1.3 nats a row too low at 10 features and 20 rows, against any
#        real density.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
import scipy.stats as st
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture


def mass(fitted, center, covariance, seed=1):
    """The integral of exp(score_samples), by importance sampling from a wide Student-t."""
    proposal = st.multivariate_t(center, covariance, df=5, seed=seed)
    draws = proposal.rvs(200_000)
    return np.exp(fitted.score_samples(draws) - proposal.logpdf(draws)).mean()


for features, rows, seen in [(2, 20, 0.847), (2, 50, 0.933), (10, 20, 0.264), (10, 50, 0.546)]:
    x = np.random.default_rng(features + rows).normal(size=(rows, features))
    where = x.mean(0), np.cov(x.T) + 0.1 * np.eye(features)
    bayesian, plain = (
        mass(family(n_components=1, random_state=0).fit(x), *where)
        for family in (BayesianGaussianMixture, GaussianMixture)
    )
    print(
        f"{features:2} features, {rows} rows: BayesianGaussianMixture {bayesian:.3f}, "
        f"GaussianMixture {plain:.3f}"
    )
    assert abs(bayesian - seen) < 0.03, "the density has changed"
    assert abs(plain - 1) < 0.05
PY
