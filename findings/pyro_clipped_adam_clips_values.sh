#!/usr/bin/env bash
# pyro-ppl 1.9.2 on torch 2.13.0: ClippedAdam's `clip_norm` clips each element, not the norm.
# Guess: clip_norm=1 scales the gradient (3, 4) to (0.6, 0.8), as torch.nn.utils.clip_grad_norm_
#        does.
# Seen:  it becomes (1, 1): its direction changes, and its norm is the square root of the number of
#        elements, times clip_norm. `PyroOptim(..., clip_args={"clip_norm": 1})` does take a norm,
#        of each parameter by itself.
# Why:   a schedule moved from another library's "clip norm" hardly clips large layers, and turns
#        the gradient of small ones.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2
cd "$work" && env/bin/python -I - <<'PY'
import torch
from pyro.optim import PyroOptim
from pyro.optim.clipped_adam import ClippedAdam


def gradients(step, *values):
    parameters = [torch.nn.Parameter(torch.zeros(len(value))) for value in values]
    for parameter, value in zip(parameters, values):
        parameter.grad = torch.tensor(value)
    step(parameters)
    return [[round(g, 4) for g in parameter.grad.tolist()] for parameter in parameters]


clipped = gradients(lambda p: ClippedAdam(p, clip_norm=1.0).step(), [3.0, 4.0])
torch_norm = gradients(lambda p: torch.nn.utils.clip_grad_norm_(p, 1.0), [3.0, 4.0])
each = gradients(
    PyroOptim(torch.optim.SGD, {"lr": 0.0}, {"clip_norm": 1.0}), [3.0, 4.0], [3.0, 4.0]
)
print(
    "ClippedAdam",
    clipped,
    "  torch's clip_grad_norm_",
    torch_norm,
    "  PyroOptim, two parameters",
    each,
)
assert clipped == [[1.0, 1.0]], "ClippedAdam has changed"
assert torch_norm == [[0.6, 0.8]]
assert each == [[0.6, 0.8], [0.6, 0.8]], "PyroOptim has changed"
PY
