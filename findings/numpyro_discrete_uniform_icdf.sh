#!/usr/bin/env bash
# numpyro 0.22.0 on jax 0.10.2: the quantiles of DiscreteUniform are no integers, and lie outside.
# Guess: icdf(q) is the smallest integer of the support whose cdf is at least q, as in scipy.
# Seen:  DiscreteUniform(2, 7).icdf of 0.1, 0.5 and 0.9 is 1.6, 4 and 6.4; scipy has 2, 4 and 7. Up
#        to 1/6 it is below the smallest value of the support, 2: the continuous line of the cdf,
#        low - 1 + 6 q, isn't rounded up. cdf(1.6) of the same distribution is 0, and
#        log_prob(6.4) is -inf.
# Why:   draws by inversion (quasi-random numbers, common random numbers, copulas) are not of the
#        distribution: their mean is half a step too low and one in six is outside.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 jax==0.10.2 numpyro==0.22.0
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import numpy as np
import numpyro.distributions as dist
import scipy.stats

uniform = dist.DiscreteUniform(2, 7)
probs = np.array([0.05, 0.1, 0.5, 0.9, 1.0])
found = np.asarray(uniform.icdf(probs))
right = scipy.stats.randint(2, 8).ppf(probs)
print("icdf:", found, "scipy:", right)
assert np.allclose(found, 1 + 6 * probs, atol=1e-5), "the quantiles have changed"
assert right.tolist() == [2, 2, 4, 7, 7]

by_inversion = np.asarray(uniform.icdf((np.arange(6000) + 0.5) / 6000))
share = (by_inversion < 2).mean()
print(f"by inversion: mean {by_inversion.mean():.3f}, {share:.3f} below the support;", end=" ")
print(f"mean() {float(uniform.mean)}")
assert abs(by_inversion.mean() - 4) < 1e-2 and abs(share - 1 / 6) < 1e-2
below, inside = float(uniform.cdf(found[1])), float(uniform.log_prob(found[3]))
print(f"cdf of {found[1]:.1f}: {below:.3f}; log_prob of {found[3]:.1f}: {inside:.3f}")
assert below == 0 and np.isneginf(inside)
PY
