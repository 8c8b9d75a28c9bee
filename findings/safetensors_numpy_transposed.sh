#!/usr/bin/env bash
# safetensors 0.8.0 with numpy 2.4.6: a transposed array comes back with its values in other cells.
# Guess: safetensors.numpy.save keeps the array, or refuses one that is not contiguous, as
#        safetensors.torch does.
# Seen:  save({"a": x.T}) and load give an array of the right shape and dtype whose cells are those
#        of x in memory order: [[0, 1], [2, 3], [4, 5]] for the transpose of [[0, 1, 2], [3, 4, 5]].
#        No error, no warning. So with np.asfortranarray(x). safetensors.torch raises a ValueError
#        for the same tensor.
# Why:   weights or rows from LAPACK, MATLAB, R or an einsum are often in Fortran order.
#        np.ascontiguousarray first.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0
cd "$work" && env/bin/python -I - <<'PY'
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

x = np.arange(6.0).reshape(2, 3)


def back(array):
    return safetensors.numpy.load(safetensors.numpy.save({"a": array}))["a"]


print("x.T", x.T.tolist(), "comes back as", back(x.T).tolist())
assert np.array_equal(back(x), x) and np.array_equal(back(np.ascontiguousarray(x.T)), x.T)
assert back(x.T).tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], (
    "a transposed array is handled differently"
)
assert not np.array_equal(back(np.asfortranarray(x)), x), (
    "an array in Fortran order is handled differently"
)
try:
    safetensors.torch.save({"a": torch.from_numpy(x).T})
except ValueError as error:
    print("safetensors.torch:", str(error)[:70])
else:
    raise AssertionError("safetensors.torch takes it now")
PY
