#!/usr/bin/env bash
# copulas 0.14.1: the density of GaussianMultivariate is that of the transformed rows, not of X.
# Guess: probability_density(X) is the density of X, "for each point in X", the derivative of
#        cumulative_distribution: it integrates to one.
# Seen:  it is the density of the normal scores, without the Jacobian of the marginals. Fitted to
#        two normal columns of standard deviation 10 it is 100 times too high and integrates to 102
#        (the product of the fitted deviations); with 1 and 0.01 to 0.0098; with 10 and 0.1 it is
#        right by chance. log_probability_density is off by log 100. The cdf and samples are right.
# Why:   log likelihoods change with the unit of a column, so a comparison with any other density
#        model, or between two sets of marginals, is meaningless.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 copulas==0.14.1
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
import pandas as pd
import scipy.stats
from copulas.multivariate import GaussianMultivariate
from copulas.univariate import GaussianUnivariate

random = np.random.default_rng(0)
correlation = np.array([[1.0, 0.5], [0.5, 1.0]])
for scales in ((10.0, 0.1), (10.0, 10.0), (1.0, 0.01)):
    rows = random.multivariate_normal(np.zeros(2), correlation, size=2000) * scales + [1, 2]
    copula = GaussianMultivariate(distribution=GaussianUnivariate)
    copula.fit(pd.DataFrame(rows, columns=["a", "b"]))
    right = scipy.stats.multivariate_normal(rows.mean(0), np.cov(rows.T))

    axes = [np.linspace(m - 6 * s, m + 6 * s, 121) for m, s in zip(rows.mean(0), rows.std(0))]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    points = pd.DataFrame(grid, columns=["a", "b"])
    cell = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    mass = copula.probability_density(points).sum() * cell
    inner = points[right.pdf(grid) > 1e-3 * right.pdf(grid).max()]
    excess = copula.log_probability_density(inner) - right.logpdf(inner.to_numpy())
    area = np.prod(rows.std(0))
    print(f"deviations {scales}: mass {mass:.4g}, log density {excess.mean():+.3f}")
    assert np.isclose(right.pdf(grid).sum() * cell, 1, rtol=1e-3)
    assert np.isclose(mass, area, rtol=0.01), "the density has changed"
    assert np.allclose(excess, np.log(area), atol=0.02)
    below = copula.cumulative_distribution(points[7320:7321])
    assert np.allclose(below, right.cdf(grid[7320]), atol=1e-3)
PY
