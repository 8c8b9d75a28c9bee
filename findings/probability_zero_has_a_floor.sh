#!/usr/bin/env bash
# torch 2.13.0, numpyro 0.22.0, jax 0.10.2, scipy 1.17.1: what an impossible outcome scores.
# Guess: Bernoulli(0).log_prob(1) is -inf, as in scipy, and so is Categorical([1, 0]).log_prob(1).
# Seen:  torch: -15.94 in float32 and -36.04 in float64 for both: probabilities are kept eps away
#        from 0 and 1. numpyro, Bernoulli: -87.34 in float32 and -708.40 in float64 (the smallest
#        normal number); Categorical: -inf. Binomial(10, 0).log_prob(10) is ten times each.
# Why:   the score of a row that the model calls impossible depends on the library and on the dtype,
#        not on the model.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 jax==0.10.2 numpyro==0.22.0
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I - <<'PY'
import math

import jax
import jax.numpy as jnp
import numpyro.distributions as nd
import scipy.stats as st
import torch
import torch.distributions as td

jax.config.update("jax_enable_x64", True)


def close(got, expected):
    return got == expected or math.isclose(got, expected, rel_tol=1e-3)


print("scipy", st.bernoulli.logpmf(1, 0.0))
assert math.isinf(st.bernoulli.logpmf(1, 0.0))
for dtype, floor in [(torch.float32, -15.942), (torch.float64, -36.044)]:
    got = [
        td.Bernoulli(torch.tensor(0.0, dtype=dtype))
        .log_prob(torch.tensor(1.0, dtype=dtype))
        .item(),
        td.Categorical(torch.tensor([1.0, 0.0], dtype=dtype)).log_prob(torch.tensor(1)).item(),
        td.Binomial(10, torch.tensor(0.0, dtype=dtype))
        .log_prob(torch.tensor(10.0, dtype=dtype))
        .item(),
    ]
    print(dtype, got)
    assert all(close(*pair) for pair in zip(got, [floor, floor, 10 * floor])), "torch has changed"
for dtype, floor in [(jnp.float32, -87.337), (jnp.float64, -708.396)]:
    got = [
        float(nd.Bernoulli(jnp.asarray(0.0, dtype)).log_prob(1)),
        float(nd.Categorical(jnp.asarray([1.0, 0.0], dtype)).log_prob(1)),
        float(nd.Binomial(10, jnp.asarray(0.0, dtype)).log_prob(10)),
    ]
    print("numpyro", dtype.__name__, got)
    assert all(close(*pair) for pair in zip(got, [floor, -math.inf, 10 * floor])), (
        "numpyro has changed"
    )
PY
