#!/usr/bin/env bash
# pyro-ppl 1.9.2 on torch 2.13.0: vectorized_importance_weights(normalized=True) never works.
# Guess: it returns log weights whose exponentials sum to one; the option is in its documentation.
# Seen:  TypeError, for every model: it calls torch.logsumexp without a dimension. normalized=False
#        is right.
# Why:   the one vectorised path to normalised weights is closed; normalise what normalized=False
#        returns.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2
cd "$work" && env/bin/python -I - <<'PY'
import math

import pyro
import pyro.distributions as dist
import torch
from pyro.infer.importance import vectorized_importance_weights

pyro.set_rng_seed(0)


def model():
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.5))


def guide():
    pyro.sample("z", dist.Normal(0.0, 1.0))


options = {"num_samples": 20_000, "max_plate_nesting": 0}
log_weights = vectorized_importance_weights(model, guide, **options, normalized=False)[0]
log_marginal = (torch.logsumexp(log_weights, 0) - math.log(len(log_weights))).item()
right = torch.distributions.Normal(0.0, math.sqrt(2)).log_prob(torch.tensor(0.5)).item()
print(f"normalized=False: log p(x) {log_marginal:.3f}, right {right:.3f}")
assert abs(log_marginal - right) < 0.02
try:
    vectorized_importance_weights(model, guide, **options, normalized=True)
except TypeError as error:
    print("normalized=True: TypeError:", str(error).splitlines()[0])
else:
    raise AssertionError("normalized=True works now")
PY
