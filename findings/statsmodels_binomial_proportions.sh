#!/usr/bin/env bash
# statsmodels 0.15.0 (scipy 1.17.1): the log likelihood of a binomial GLM depends on how the counts
# were passed.
# Guess: (successes, failures) and proportions with var_weights = trials are one model: same
#        coefficients, and llf differs at most by the log binomial coefficients that do not depend
#        on the fit.
# Seen:  the coefficients agree, llf is -355.2 for counts (scipy's binomial says the same), -1030.0
#        for proportions; without coefficients it would be -1495.7. Each proportion y gets the
#        constant lgamma(2) - lgamma(1 + y) - lgamma(2 - y), times the trials: a binomial
#        coefficient of one trial at a fraction.
# Why:   AIC, BIC and llf of the two forms cannot be compared, neither with each other nor with any
#        other library.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 statsmodels==0.15.0
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
import scipy.stats as st
import statsmodels.api as sm
from scipy.special import gammaln

rng = np.random.default_rng(0)
x = sm.add_constant(rng.normal(size=200))
trials = rng.integers(5, 20, 200)
successes = rng.binomial(trials, 0.3)
y = successes / trials
counts = sm.GLM(np.c_[successes, trials - successes], x, family=sm.families.Binomial()).fit()
proportions = sm.GLM(y, x, family=sm.families.Binomial(), var_weights=trials).fit()
p = counts.mu
kernel = (successes * np.log(p) + (trials - successes) * np.log1p(-p)).sum()
constant = (trials * (gammaln(2) - gammaln(1 + y) - gammaln(2 - y))).sum()
exact = st.binom.logpmf(successes, trials, p).sum()
print(
    f"llf: counts {counts.llf:.2f}, proportions {proportions.llf:.2f}; scipy {exact:.2f}, "
    f"no constant {kernel:.2f}"
)
assert np.allclose(counts.params, proportions.params)
assert np.isclose(counts.llf, exact)
assert np.isclose(proportions.llf, kernel + constant), "the constant has changed"
assert abs(proportions.llf - exact) > 100, "the two agree now"
PY
