#!/usr/bin/env bash
# tfp-nightly 0.26.0.dev20261027 on jax 0.10.2: the variance of GammaGamma leaves out a part.
# Guess: variance() and stddev() are those of the draws of sample(), and of log_prob.
# Seen:  GammaGamma(3, 4, 2), a Gamma(3, rate) whose rate is Gamma(4, 2): variance() is 2, of the
#        draws and by quadrature of log_prob it is 4. It is the variance of the conditional mean
#        (law of total variance), without the mean of the conditional variance. The mean is right.
#        With a concentration of 1/2 the variance is 1/18 instead of 7/18: the standard deviation is
#        0.38 of the right one.
# Why:   intervals of mean ± 2 stddev of a heavy-tailed posterior predictive are too narrow, most
#        for the overdispersed cases that the distribution is taken for.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 jax==0.10.2 tfp-nightly==0.26.0.dev20261027
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import math

import jax
import numpy as np
import tensorflow_probability.substrates.jax as tfp

jax.config.update("jax_enable_x64", True)
log_x = np.linspace(-60, 25, 200_001)
x = np.exp(log_x)
for concentration in (3.0, 0.5):
    gamma = tfp.distributions.GammaGamma(np.float64(concentration), np.float64(4), np.float64(2))
    density = np.exp(np.asarray(gamma.log_prob(x))) * x  # of log x
    mass = np.trapezoid(density, log_x)
    mean = np.trapezoid(density * x, log_x)
    right = np.trapezoid(density * (x - mean) ** 2, log_x)
    draws = np.asarray(gamma.sample(400_000, seed=jax.random.PRNGKey(0)))
    reported = float(gamma.variance())
    print(f"concentration {concentration}: variance() {reported:.4f}, by quadrature {right:.4f},")
    print(f"    of draws {draws.var():.4f}; mean() {float(gamma.mean()):.4f} and {mean:.4f}")
    assert math.isclose(mass, 1, rel_tol=1e-6)
    assert math.isclose(float(gamma.mean()), mean, rel_tol=1e-5)
    assert math.isclose(draws.var(), right, rel_tol=0.2)
    of_the_conditional_mean = (concentration * 2 / 3) ** 2 / 2
    assert math.isclose(reported, of_the_conditional_mean, rel_tol=1e-6), "it has changed"
    assert reported < 0.6 * right
PY
