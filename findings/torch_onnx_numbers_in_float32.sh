#!/usr/bin/env bash
# torch 2.13.0 with onnx 1.23.2, onnxscript 0.7.2: float64 programs lose the digits of their numbers.
# Guess: `torch.onnx.export` of a program in float64 is right to about 1e-16, as all of its tensors
#        in the file are doubles.
# Seen:  Python's numbers in the program are rounded to float32 and then stored as doubles: x - 0.1
#        is off by 1.5e-9, exp(x) / 3.3 by a relative 1e-8. A tensor torch.tensor(0.1) in the place
#        of the number keeps its digits. The file passes onnx's checker, nothing warns.
# Why:   a constant of a log density, such as log(2 pi) / 2, is off by 2e-8 in each dimension, so that
#        a file in float64 fails every comparison closer than float32's.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2
cd "$work" && env/bin/python -I -W ignore - <<'PY' 2> stderr || { cat stderr >&2; exit 1; }
import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn


class Numbers(nn.Module):
    def forward(self, x):
        return x - 0.1, x.exp() / 3.3


class Tensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.tensor(0.1, dtype=torch.float64))
        self.register_buffer("b", torch.tensor(3.3, dtype=torch.float64))

    def forward(self, x):
        return x - self.a, x.exp() / self.b


def errors(module):
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)
    program = torch.export.export(module, (x,))
    model = torch.onnx.export(program, (), dynamo=True, verbose=False).model_proto
    onnx.checker.check_model(model, full_check=True)
    found = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x.numpy()})
    expected = [each.numpy() for each in module(x)]
    assert all(each.dtype == np.float64 for each in found)
    return [float(np.abs(a - b).max()) for a, b in zip(found, expected)]


of_numbers, of_tensors = errors(Numbers()), errors(Tensors())
print("numbers of Python:", of_numbers, "tensors:", of_tensors)
assert max(of_tensors) < 1e-15
assert min(of_numbers) > 1e-9, "numbers of Python keep their digits now"
PY
