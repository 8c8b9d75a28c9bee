#!/usr/bin/env bash
# preliz 0.24.0: the highest density interval of a censored or a hurdle distribution isn't one.
# Guess: Censored(...) and Hurdle(...) are distributions as the others are: hdi(0.9) has 90 % of the
#        mass and is no wider than eti(0.9); var() and skewness() are those of rvs().
# Seen:  Censored(Normal(0, 1), -1, 1).hdi(0.9) is (-0.81, 0.81), which has 58 % of the draws;
#        Hurdle(Gamma(3, 2), 0.7).hdi(0.9) is (0, 49.78), where eti is (0, 2.9) and no draw of a
#        million exceeds 12. Its var() is 0.66, of the draws 1.00. Censored(Gamma(3, 2), upper=2)
#        has skewness 0.36, of the draws -0.23. Means, medians, eti and the cdf are right, and
#        Truncated is right in all.
# Why:   detection limits and zero-inflated intensities are what the two are for, and a prior is
#        chosen by such an interval: one lacks a third of its mass, the other includes what never
#        occurs.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 matplotlib==3.10.9 numba==0.65.1 arviz-stats==0.8.0 \
    pytensor==2.38.3 pytensor-distributions==0.1.3 preliz==0.24.0
export MPLCONFIGDIR="$work" PYTENSOR_FLAGS="base_compiledir=$work/compiled"
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
import preliz as pz
from scipy.stats import skew


def seen(name, distribution):
    draws = np.asarray(distribution.rvs(1_000_000, random_state=1), float)
    low, high = distribution.hdi(0.9)
    inside = ((draws >= low) & (draws <= high)).mean()
    print(f"{name}: hdi(0.9) ({low}, {high}) has {inside:.3f} of the draws, the largest is")
    print(f"    {draws.max():.1f}; eti(0.9) {distribution.eti(0.9)}")
    print(f"    var {float(distribution.var()):.3f}, of the draws {draws.var():.3f}")
    assert abs(float(distribution.mean()) - draws.mean()) < 0.01
    return high, inside, draws


normal = pz.Censored(pz.Normal(0, 1), -1, 1)
_, inside, _ = seen("censored normal", normal)
assert abs(inside - 0.58) < 0.01, "the interval of a censored normal has changed"

hurdle = pz.Hurdle(pz.Gamma(3, 2), 0.7)
high, _, draws = seen("hurdle gamma", hurdle)
assert high > 45 and draws.max() < 20 and hurdle.eti(0.9)[1] < 3, "the hurdle's has changed"
assert abs(float(hurdle.var()) - 0.66) < 0.01 and abs(draws.var() - 1) < 0.01, "var has changed"

gamma = pz.Censored(pz.Gamma(3, 2), upper=2)
_, _, draws = seen("censored gamma", gamma)
print(f"    skewness {float(gamma.skewness()):.3f}, of the draws {skew(draws):.3f}")
assert float(gamma.skewness()) > 0.3 and skew(draws) < -0.2, "the skewness has changed"

truncated = pz.Truncated(pz.Gamma(3, 2), upper=2)
_, inside, draws = seen("truncated gamma", truncated)
assert abs(inside - 0.9) < 0.01 and abs(float(truncated.var()) - draws.var()) < 0.01
assert abs(float(truncated.skewness()) - skew(draws)) < 0.01
PY
