#!/usr/bin/env bash
# torch 2.13.0, scipy 1.17.1: log densities that are differences of lgamma are off by nats in
# float32.
# Guess: StudentT with many degrees of freedom is the normal density to about 1e-6, and a Poisson
#        count of a million is scored to about 1e-3.
# Seen:  StudentT(df).log_prob(0) at df = 1e4, 1e6, 1e7: -0.9141, -1.0, 0.0; right: -0.9190,
#        -0.9189, -0.9189. Poisson(m).log_prob(m) at m = 1e5, 1e6, 1e7: -6.75, -7.0, 0.0; right:
#        -6.675, -7.827, -8.978. Beta(1e6, 1e6).log_prob(1/2): 6.0; right: 7.029.
#        NegativeBinomial(1e8, mean 3).log_prob(2): -37.6; right: -1.496. In float64 all of them are
#        right to 1e-6. lgamma(5e6) is 7.2e7, whose neighbours in float32 are 8 apart.
# Why:   a learned df or dispersion drifts to where the family is a normal or a Poisson; a log
#        likelihood then jumps by nats.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1
cd "$work" && env/bin/python -I - <<'PY'
import scipy.stats as st
import torch
import torch.distributions as dist


def student_t(dtype, df):
    return (
        dist.StudentT(torch.tensor(df, dtype=dtype)).log_prob(torch.tensor(0.0, dtype=dtype)).item()
    )


def poisson(dtype, m):
    return dist.Poisson(torch.tensor(m, dtype=dtype)).log_prob(torch.tensor(m, dtype=dtype)).item()


def beta(dtype, c):
    c = torch.tensor(c, dtype=dtype)
    return dist.Beta(c, c).log_prob(torch.tensor(0.5, dtype=dtype)).item()


def negative_binomial(dtype, theta):
    theta = torch.tensor(theta, dtype=dtype)
    return (
        dist.NegativeBinomial(theta, logits=(3 / theta).log())
        .log_prob(torch.tensor(2.0, dtype=dtype))
        .item()
    )


cases = [  # function, argument, the right value, at least this far off in float32
    (student_t, 1e4, st.t.logpdf(0, 1e4), 0.004),
    (student_t, 1e6, st.t.logpdf(0, 1e6), 0.05),
    (student_t, 1e7, st.t.logpdf(0, 1e7), 0.5),
    (poisson, 1e5, st.poisson.logpmf(1e5, 1e5), 0.05),
    (poisson, 1e6, st.poisson.logpmf(1e6, 1e6), 0.5),
    (poisson, 1e7, st.poisson.logpmf(1e7, 1e7), 5.0),
    (beta, 1e6, st.beta.logpdf(0.5, 1e6, 1e6), 0.5),
    (negative_binomial, 1e8, st.poisson.logpmf(2, 3), 10.0),
]
for function, argument, right, least in cases:
    single, double = function(torch.float32, argument), function(torch.float64, argument)
    print(
        f"{function.__name__:18} {argument:.0e}  float32 {single:9.4f}  float64 "
        f"{double:9.4f}  right {right:9.4f}"
    )
    assert abs(double - right) < 1e-5, "float64 is no longer right"
    assert abs(single - right) > least, "float32 is better than it was"
PY
