#!/usr/bin/env bash
# normflows 1.7.3 on torch 2.13.0: the alpha divergence at its default alpha is zero.
# Guess: NormalizingFlow.reverse_alpha_div() estimates the divergence of order 1, which is a KL
#        divergence (the limit of both Rényi's and Amari's family), and trains the flow.
# Seen:  it returns 0 with zero gradients whatever the target: the sign of (alpha - 1) multiplies
#        the logarithm. For other orders the mean over samples is a sum: at alpha = 2 one flow has
#        another value for each num_samples, log n apart. dreg=True has a gradient at alpha = 1.
# Why:   training with the default changes nothing and says nothing: a loss of 0 looks like a
#        perfect fit; and values with different numbers of samples can't be compared.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 normflows==1.7.3
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import normflows
import torch


def flow(target):
    base = normflows.distributions.DiagGaussian(2)
    return normflows.NormalizingFlow(base, [normflows.flows.AffineConstFlow((2,))], target)


def gradient(loss, model):
    model.zero_grad()
    loss.backward()
    return max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)


torch.manual_seed(0)
far = torch.distributions.MultivariateNormal(torch.full((2,), 3.0), torch.eye(2))
model = flow(far)
loss = model.reverse_alpha_div(1000)
steepest = gradient(loss, model)
kl = model.reverse_kld(1000).item()
print(f"alpha 1: {loss.item()}, largest gradient {steepest}; the KL divergence is {kl:.2f}")
assert abs(kl - 9) < 1
assert loss.item() == 0 and steepest == 0, "the default order has a value now"
steepest = gradient(model.reverse_alpha_div(1000, dreg=True), model)
print(f"alpha 1, dreg=True: largest gradient {steepest:.2f}")
assert steepest > 0

same = flow(torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)))
for samples in (10, 1000):
    value = same.reverse_alpha_div(samples, alpha=2).item()
    print(f"alpha 2, of a flow equal to its target, {samples} samples: {value:.3f}")
    assert math.isclose(value, math.log(samples), abs_tol=1e-3), "the order 2 has changed"
PY
