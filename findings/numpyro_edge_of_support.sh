#!/usr/bin/env bash
# numpyro 0.22.0 on jax 0.10.2, torch 2.13.0, scipy 1.17.1: an exact zero under Exponential and
# HalfNormal.
# Guess: the densities are finite and largest at 0: Exponential(2).log_prob(0) = log 2, as in scipy
#        and torch.
# Seen:  -inf in numpyro for Exponential, HalfNormal and HalfCauchy at 0, where torch and scipy are
#        finite; at 1e-6 the three agree. Uniform(0, 2) keeps its edge in all of them.
# Why:   durations or residuals that were rounded to 0 give a row log p = -inf under NumPyro and a
#        finite one under Pyro.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 jax==0.10.2 numpyro==0.22.0
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I - <<'PY'
import math

import numpyro.distributions as nd
import scipy.stats as st
import torch
import torch.distributions as td

t = torch.tensor
cases = {  # name: (numpyro, torch, scipy, edge)
    "Exponential(2)": (nd.Exponential(2.0), td.Exponential(t(2.0)), st.expon(scale=0.5), 0.0),
    "HalfNormal(2)": (nd.HalfNormal(2.0), td.HalfNormal(t(2.0)), st.halfnorm(scale=2.0), 0.0),
    "HalfCauchy(2)": (nd.HalfCauchy(2.0), td.HalfCauchy(t(2.0)), st.halfcauchy(scale=2.0), 0.0),
    "Uniform(0, 2)": (nd.Uniform(0.0, 2.0), td.Uniform(t(0.0), t(2.0)), st.uniform(0, 2), 0.0),
}
for name, (ours, theirs, reference, edge) in cases.items():
    got = float(ours.log_prob(edge)), theirs.log_prob(t(edge)).item(), float(reference.logpdf(edge))
    print(f"{name:16} at {edge}: numpyro {got[0]:.4f}, torch {got[1]:.4f}, scipy {got[2]:.4f}")
    assert math.isclose(got[1], got[2], rel_tol=1e-5), "torch has changed"
    assert got[0] == -math.inf or name.startswith("Uniform"), "numpyro has changed"
    assert math.isclose(float(ours.log_prob(edge + 1e-6)), got[2], rel_tol=1e-3)
PY
