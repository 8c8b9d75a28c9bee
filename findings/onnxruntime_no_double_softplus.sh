#!/usr/bin/env bash
# torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0: Softplus in float64 isn't there.
# Guess: what torch.onnx.export writes and onnx's checker accepts runs in onnxruntime on the CPU;
#        Softplus is in ONNX since its first opset, with float64 among its types.
# Seen:  the session is refused as it starts: "NOT_IMPLEMENTED : Could not find an implementation for
#        Softplus(22)". The same module in float32 runs. log(1 + exp(-|x|)) + max(x, 0) runs in both.
# Why:   every scale that is a softplus, and the log density of a Bernoulli variable, has one.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
cd "$work" && env/bin/python -I -W ignore - <<'PY' 2> stderr || { cat stderr >&2; exit 1; }
import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn


class ByParts(nn.Module):
    def forward(self, x):
        return x.abs().neg().exp().log1p() + x.clamp_min(0)


def outcome(module, dtype):
    x = torch.linspace(-2, 2, 5, dtype=dtype)
    program = torch.export.export(module, (x,))
    model = torch.onnx.export(program, (), dynamo=True, verbose=False).model_proto
    onnx.checker.check_model(model, full_check=True)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        return type(error).__name__
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return bool(np.allclose(found, module(x).numpy(), rtol=1e-6))


found = {
    f"{type(module).__name__}, {str(dtype).removeprefix('torch.')}": outcome(module, dtype)
    for module in (nn.Softplus(), ByParts())
    for dtype in (torch.float32, torch.float64)
}
print(found)
assert found["Softplus, float32"] is True
assert found["ByParts, float32"] is True
assert found["ByParts, float64"] is True
assert found["Softplus, float64"] == "NotImplemented", "Softplus of doubles runs now"
PY
