#!/usr/bin/env bash
# safetensors 0.8.0 with torch 2.13.0: a conjugated complex tensor is saved unconjugated.
# Guess: save({"a": z.conj()}) and load give z.conj().
# Seen:  they give z: torch conjugates lazily, by a flag on the tensor, and the memory that is saved
#        has no flag. So with z.conj().imag, whose sign is a flag too. is_contiguous() is True for
#        both, so the check for that says nothing, and .contiguous() keeps the flag; .clone() and
#        .resolve_conj() settle it. torch.save is right.
# Why:   an adjoint, a spectrum or a matched filter loads with the sign of its imaginary part
#        flipped.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0
cd "$work" && env/bin/python -I - <<'PY'
import io

import torch
from safetensors.torch import load, save

z = torch.tensor([1 + 2j])


def back(tensor):
    return load(save({"a": tensor}))["a"].tolist()


def pickled(tensor):
    file = io.BytesIO()
    torch.save(tensor, file)
    file.seek(0)
    return torch.load(file).tolist()


seen = {
    "z.conj()": back(z.conj()),
    "z.conj().contiguous()": back(z.conj().contiguous()),
    "z.conj().clone()": back(z.conj().clone()),
    "z.conj().resolve_conj()": back(z.conj().resolve_conj()),
    "z.conj().imag": back(z.conj().imag),
    "torch.save of z.conj()": pickled(z.conj()),
}
for name, value in seen.items():
    print(f"{name:24} comes back as {value}")
assert z.conj().is_contiguous()
assert seen["z.conj()"] == seen["z.conj().contiguous()"] == [1 + 2j], "it is conjugated now"
assert (
    seen["z.conj().clone()"]
    == seen["z.conj().resolve_conj()"]
    == seen["torch.save of z.conj()"]
    == [1 - 2j]
)
assert seen["z.conj().imag"] == [2.0], "the sign is kept now"
PY
