#!/usr/bin/env bash
# gpytorch 1.15.2 on torch 2.13.0: the log density of a multivariate normal of more than 800
# dimensions is random.
# Guess: MultivariateNormal(mean, K).log_prob(y) is the log density, to rounding, and the same at
#        every call.
# Seen:  n = 800: 1015.1 each time, right. n = 1000: 1270.8, 1263.5, 1274.9, 1289.3, ... in turn,
#        where 1288.6 is right: above 800 the solve is conjugate gradients and the determinant a
#        stochastic estimate. entropy() stays exact, and inside
#        `gpytorch.settings.max_cholesky_size(2000)` so does log_prob.
# Why:   it is a torch distribution and drops into Pyro, importance sampling or a test of log p,
#        which take it for exact.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 gpytorch==1.15.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import gpytorch
import torch

torch.manual_seed(0)
for n in (800, 1000):
    t = torch.linspace(0, 10, n)
    covariance = torch.exp(-0.5 * ((t[:, None] - t) / 0.5) ** 2) + 0.01 * torch.eye(n)
    exact = torch.distributions.MultivariateNormal(torch.zeros(n).double(), covariance.double())
    right = exact.log_prob(t.sin().double()).item()
    distribution = gpytorch.distributions.MultivariateNormal(torch.zeros(n), covariance)
    calls = [distribution.log_prob(t.sin()).item() for _ in range(5)]
    print(f"n = {n}: right {right:.2f}, five calls", [round(call, 2) for call in calls])
    if n == 800:
        assert max(abs(call - right) for call in calls) < 0.05
        continue
    assert len(set(calls)) == 5, "the calls agree now"
    assert 1.0 < max(abs(call - right) for call in calls) < 100.0, "the error has changed"
    entropy = distribution.entropy().item()
    with gpytorch.settings.max_cholesky_size(2000):
        again = (
            gpytorch.distributions.MultivariateNormal(torch.zeros(n), covariance)
            .log_prob(t.sin())
            .item()
        )
    print(
        f"entropy {entropy:.2f}, right {exact.entropy():.2f}; with "
        f"max_cholesky_size(2000): {again:.2f}"
    )
    assert abs(entropy - exact.entropy().item()) < 0.05 and abs(again - right) < 0.05
PY
