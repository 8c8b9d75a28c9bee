#!/usr/bin/env bash
# normflows 1.7.3 on torch 2.13.0: the log density of a flow with Shift moves the data.
# Guess: log_prob(x) reads x; the second call returns what the first returned.
# Seen:  Shift, the transform that takes pixels from [0, 1] to [-1/2, 1/2], adds in place. After
#        flow.log_prob(x) the caller's x is 0.5 lower, after ten calls 5 lower, and each call
#        returns another log density. forward_kld(x) does so too: training on a tensor kept in
#        memory moves the data set by 0.5 an epoch. sample() is not hurt.
# Why:   a data set that fits into memory drifts away while the flow trains on it, without an error;
#        Logit beside it is pure.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 normflows==1.7.3
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import normflows
import torch

torch.manual_seed(0)
pixels = torch.rand(4, 3)
for name in ("Shift", "Logit"):
    transform = getattr(normflows.transforms, name)()
    base = normflows.distributions.DiagGaussian(3)
    flow = normflows.NormalizingFlow(base, [transform]).requires_grad_(False)
    x = pixels.clone()
    values = [flow.log_prob(x)[0].item() for _ in range(3)]
    moved = (x - pixels).mean().item()
    flow.forward_kld(x)
    again = (x - pixels).mean().item()
    print(f"{name}: log_prob(x) three times:", [round(v, 3) for v in values])
    print(f"{name}: x has moved by {moved:.2f}, after forward_kld by {again:.2f}")
    if name == "Shift":
        assert abs(moved + 1.5) < 1e-5 and abs(again + 2.0) < 1e-5, "Shift leaves its input alone"
        assert len(set(values)) == 3
    else:
        assert moved == again == 0 and len(set(values)) == 1
PY
