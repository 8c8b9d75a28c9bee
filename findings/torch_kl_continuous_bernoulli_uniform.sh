#!/usr/bin/env bash
# torch 2.13.0: KL(ContinuousBernoulli ‖ Uniform(0, 1)) is infinite.
# Guess: both live on [0, 1], so KL = -entropy of the continuous Bernoulli: 0.0294 nats at probs
#        0.3.
# Seen:  inf for Uniform(0, 1); 0.0294 + log(1.02) = 0.0492 for Uniform(-0.01, 1.01). KL(Beta ‖
#        Uniform(0, 1)) is finite. The rule asks whether the uniform reaches beyond both ends, where
#        it should ask whether it falls short of one.
# Why:   a guide on [0, 1] with a uniform prior has an infinite analytic KL, and the ELBO is -inf.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6
cd "$work" && env/bin/python -I - <<'PY'
import math

import torch
from torch.distributions import Beta, ContinuousBernoulli, Uniform, kl_divergence

torch.set_default_dtype(torch.float64)
q = ContinuousBernoulli(torch.tensor(0.3))
x = torch.linspace(0, 1, 100_001)
right = torch.trapezoid(q.log_prob(x).exp() * q.log_prob(x), x).item()
unit = kl_divergence(q, Uniform(torch.tensor(0.0), torch.tensor(1.0))).item()
wider = kl_divergence(q, Uniform(torch.tensor(-0.01), torch.tensor(1.01))).item()
beta = kl_divergence(
    Beta(torch.tensor(2.0), torch.tensor(3.0)), Uniform(torch.tensor(0.0), torch.tensor(1.0))
).item()
print(
    f"KL to Uniform(0, 1): {unit}   by quadrature: {right:.4f}   to Uniform(-0.01, 1.01): "
    f"{wider:.4f}   Beta: {beta:.4f}"
)
assert math.isclose(right, 0.0294, abs_tol=1e-4)
assert math.isinf(unit), "it is finite now"
assert math.isclose(wider, right + math.log(1.02), abs_tol=1e-6)
assert math.isfinite(beta)
PY
