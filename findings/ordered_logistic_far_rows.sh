#!/usr/bin/env bash
# pyro-ppl 1.9.2, numpyro 0.22.0, tfp-nightly 0.26.0.dev20261027 (torch 2.13.0, jax 0.10.2): ordered
# logistic models treat the two ends of the scale differently, or lose rows that fit badly.
# Guess: P(x = 0) at predictor 20 equals P(x = 2) at predictor -20 for cutpoints -1 and 1: the log
#        probability is -21 and its slope -1 or 1, as far out as float32 reaches.
# Seen:  Pyro: -15.94 at both ends and slope exactly 0 from there on. NumPyro: -21 and slope -1 for
#        the lowest category, -inf and slope 0 for the highest. TFP: -21 at both ends; the slope is
#        1 for the highest category and nan for the lowest. At predictor ±10 all agree.
# Why:   a row on the wrong side stops pulling (Pyro), makes the likelihood 0 (NumPyro) or turns all
#        parameters into nan (TFP), and which rows do depends on the direction in which the
#        categories were coded.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 pyro-ppl==1.9.2 jax==0.10.2 numpyro==0.22.0 \
    tfp-nightly==0.26.0.dev20261027
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import math

import jax
import jax.numpy as jnp
import numpyro.distributions as nd
import pyro.distributions as pd
import tensorflow_probability.substrates.jax as tfp
import torch


def in_pyro(predictor, category):
    eta = torch.tensor(predictor, requires_grad=True)
    row = pd.OrderedLogistic(eta, torch.tensor([-1.0, 1.0]))
    log_p = row.log_prob(torch.tensor(category))
    log_p.backward()
    return log_p.item(), eta.grad.item()


def in_jax(make):
    def value_and_slope(predictor, category):
        log_p = lambda eta: make(eta, jnp.array([-1.0, 1.0])).log_prob(category)
        return tuple(map(float, jax.value_and_grad(log_p)(jnp.float32(predictor))))

    return value_and_slope


libraries = {
    "pyro": in_pyro,
    "numpyro": in_jax(nd.OrderedLogistic),
    "tfp": in_jax(lambda eta, c: tfp.distributions.OrderedLogistic(cutpoints=c, loc=eta)),
}
seen = {}
for far in (10.0, 20.0):
    exact = -math.log1p(math.exp(far + 1))
    for name, found in libraries.items():
        lowest, highest = found(far, 0), found(-far, 2)
        seen[name, far] = lowest, highest
        print(f"predictor ±{far:g}, exact {exact:.2f}: {name:8s} lowest {lowest}, highest {highest}")
        if far == 10:
            for (log_p, slope), sign in zip((lowest, highest), (-1, 1)):
                assert math.isclose(log_p, exact, rel_tol=1e-3)
                assert math.isclose(slope, sign, rel_tol=1e-3)

floor = math.log(2**-23)
for log_p, slope in seen["pyro", 20.0]:
    assert math.isclose(log_p, floor, rel_tol=1e-4), "Pyro has changed"
    assert slope == 0, "Pyro has changed"
(low, low_slope), (high, high_slope) = seen["numpyro", 20.0]
assert math.isclose(low, -21, rel_tol=1e-4) and math.isclose(low_slope, -1, rel_tol=1e-4)
assert high == -math.inf and high_slope == 0, "NumPyro has changed"
(low, low_slope), (high, high_slope) = seen["tfp", 20.0]
assert math.isclose(low, -21, rel_tol=1e-4) and math.isclose(high, -21, rel_tol=1e-4)
assert math.isclose(high_slope, 1, rel_tol=1e-4) and math.isnan(low_slope), "TFP has changed"
PY
