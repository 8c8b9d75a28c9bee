#!/usr/bin/env bash
# FrEIA 0.2 on torch 2.13.0: LearnedElementwiseScaling has one log determinant for both directions.
# Guess: g(x) = x · exp(s) with exp(s) = init_scale at the start, as described; its log determinant
#        is Σ s forwards and -Σ s in reverse, as in every other module of FrEIA.
# Seen:  it is +Σ s in both directions, though the values are inverted rightly. For 6 elements of
#        scale 3 the reverse pass is 2 · 6 log 3 = 13.18 nats off. And init_scale does nothing: the
#        logarithm of it multiplies zeros, so that every scale starts at 1. ActNorm, with one scale
#        a channel, has both signs.
# Why:   log q(x) of samples, taken in reverse, is wrong by twice the logarithm of the scales: the
#        loss of variational inference rewards growing scales without end.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 FrEIA==0.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import FrEIA.modules
import torch

torch.manual_seed(0)
scaling = FrEIA.modules.LearnedElementwiseScaling([(6,)], init_scale=3.0).requires_grad_(False)
print("scales at the start, with init_scale=3:", scaling.s.exp().unique().tolist())
assert (scaling.s == 0).all(), "init_scale has an effect now"

norm = FrEIA.modules.ActNorm([(6,)]).requires_grad_(False)
norm([torch.randn(100, 6) / 3])  # takes its scales from the first batch
scaling.s.fill_(math.log(3))
x = torch.randn(5, 6)
for module in (scaling, norm):
    (y,), forwards = module([x])
    (back,), reverse = module([y], rev=True)
    sum_of_both = (torch.as_tensor(forwards) + torch.as_tensor(reverse)).max().item()
    print(f"{type(module).__name__}: log determinants of both directions sum to {sum_of_both:.2f}")
    assert torch.allclose(back, x, atol=1e-5)
    seen = 2 * 6 * math.log(3) if module is scaling else 0
    assert math.isclose(sum_of_both, seen, abs_tol=1e-4), "the reverse log determinant has changed"
PY
