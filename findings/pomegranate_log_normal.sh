#!/usr/bin/env bash
# pomegranate 1.1.2 on torch 2.13.0, scipy 1.17.1: LogNormal and HalfNormal are not the densities of
# their names.
# Guess: LogNormal(mean, covariance).log_probability is the log density of x, HalfNormal.fit is
#        maximum likelihood with the mode at 0, and a negative x has density 0.
# Seen:  LogNormal leaves out the Jacobian: it is N(log x), too high by log x for each x, and exp of
#        it integrates to 1.53 for (0.3, 0.25). HalfNormal().fit(x) sets its variance to that of x
#        about the mean of x (0.667 for 1, 2, 3; right 4.667), and log_probability(-1) equals
#        log_probability(1). Normal, Exponential, Gamma and Poisson agree with scipy.
# Why:   mixtures over such families weigh a LogNormal component by x times what it should have.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 pomegranate==1.1.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import numpy as np
import scipy.stats as st
import torch
from pomegranate.distributions import Exponential, Gamma, HalfNormal, LogNormal, Normal


def column(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None]


log_normal = LogNormal([0.3], [[0.25]])
x = np.linspace(1e-4, 100, 1_000_001)
mass = np.trapezoid(log_normal.log_probability(column(*x)).exp().numpy(), x)
got, right = (
    log_normal.log_probability(column(2.0)).item(),
    st.lognorm.logpdf(2, 0.5, scale=math.exp(0.3)),
)
print(
    f"LogNormal at 2: {got:.4f}, scipy {right:.4f}, difference {got - right:.4f} = log 2; "
    f"it integrates to {mass:.3f}"
)
assert abs(got - right - math.log(2)) < 1e-5 and abs(mass - math.exp(0.3 + 0.125)) < 1e-2, (
    "LogNormal has changed"
)

half = HalfNormal(covariance_type="diag").fit(column(1.0, 2.0, 3.0))
above, below = half.log_probability(column(1.0, -1.0)).tolist()
print(
    f"HalfNormal fitted to 1, 2, 3: variance {half.covs.item():.4f}, right {14 / 3:.4f}; "
    f"log p at 1 and -1: {above:.4f} {below:.4f}"
)
assert abs(half.covs.item() - 2 / 3) < 1e-4, "HalfNormal.fit has changed"
assert above == below, "HalfNormal.log_probability has changed"

for distribution, reference in [
    (Normal([0.0], [[4.0]]), st.norm(0, 2)),
    (Exponential([2.0]), st.expon(scale=2)),
    (Gamma([2.0], [3.0]), st.gamma(2, scale=1 / 3)),
]:
    assert abs(distribution.log_probability(column(1.0)).item() - reference.logpdf(1)) < 1e-5
PY
