#!/usr/bin/env bash
# scipy 1.17.1: the entropy of a count distribution that is spread wide is far too small, without a
# warning.
# Guess: scipy.stats.poisson(m).entropy() is ½ log(2πe m) for large m: 8.33 nats at m = 1e6.
# Seen:  2.77 at 1e6 and 0.05 at 1e10 (right 12.93); nbinom(2, 0.001): 2.09 instead of 8.48;
#        betabinom(100000, 2, 2): 0.17 instead of 11.39. At m = 1e4 it is 0.002 short, for
#        binom(1e6, ½) right. The sum over the support stops too soon.
# Why:   entropies, KL and mutual informations of overdispersed counts (reads, photons) come out
#        several nats short.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1
cd "$work" && env/bin/python -I - <<'PY'
import math

import numpy as np
import scipy.stats as st


def summed(distribution, last):
    log_p = distribution.logpmf(np.arange(last + 1))
    return -np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0))


cases = {  # name: (distribution, right value, what scipy says)
    "poisson(1e4)": (st.poisson(1e4), summed(st.poisson(1e4), 20_000), 6.02),
    "poisson(1e6)": (st.poisson(1e6), summed(st.poisson(1e6), 1_100_000), 2.77),
    "poisson(1e10)": (st.poisson(1e10), 0.5 * math.log(2 * math.pi * math.e * 1e10), 0.05),
    "nbinom(2, 0.001)": (st.nbinom(2, 0.001), summed(st.nbinom(2, 0.001), 100_000), 2.09),
    "betabinom(1e5, 2, 2)": (
        st.betabinom(100_000, 2, 2),
        summed(st.betabinom(100_000, 2, 2), 100_000),
        0.17,
    ),
    "binom(1e6, 1/2)": (
        st.binom(1_000_000, 0.5),
        summed(st.binom(1_000_000, 0.5), 1_000_000),
        7.63,
    ),
}
for name, (distribution, right, seen) in cases.items():
    got = float(distribution.entropy())
    print(f"{name:21} scipy {got:6.3f}, right {right:6.3f}")
    assert abs(got - seen) < 0.02, f"{name} has changed"
PY
