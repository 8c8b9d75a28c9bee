#!/usr/bin/env bash
# dcor 0.7: distances between unsigned bytes wrap around.
# Guess: distance_correlation and energy_distance of images in uint8 are those of the same numbers
#        as float64: between 0 and 1 for the first, whatever the dtype.
# Seen:  for one column of pixels the distance correlation is 1231057.7 as uint8 and 0.9938 as
#        int64 or float64; for rows of 4 pixels 0.600 and 0.995, and the energy distance is 0.586
#        and 4.566. The differences are taken in the dtype of the input, modulo 256, without a
#        warning. A column of int16 raises an OverflowError.
# Why:   MNIST and most pictures are uint8; a test of two samples, or of independence between
#        pixels and labels, then answers with another number that often looks plausible.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 numba==0.68.1 joblib==1.6.0 dcor==0.7
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import dcor
import numpy as np

random = np.random.default_rng(0)
x = random.integers(0, 255, size=(60, 4))
y = np.clip(x + random.integers(0, 30, size=(60, 4)), 0, 255)
found = {}
for dtype in (np.uint8, np.int64, np.float64):
    first, second = x.astype(dtype), y.astype(dtype)
    column = dcor.distance_correlation(first[:, 0], second[:, 0])
    rows = dcor.distance_correlation(first, second)
    energy = dcor.energy_distance(first, second)
    found[dtype] = np.array([column, rows, energy])
    print(f"{dtype.__name__}: distance correlation of a column {column:.4f}, of rows {rows:.4f},")
    print(f"    energy distance {energy:.4f}")
assert np.allclose(found[np.int64], found[np.float64])
assert np.allclose(found[np.float64], [0.9938, 0.9948, 4.5662], atol=1e-3)
assert found[np.uint8][0] > 1000, "a column of bytes is right now"
assert np.allclose(found[np.uint8][1:], [0.5999, 0.5865], atol=1e-3), "rows of bytes have changed"
try:
    dcor.distance_correlation(x[:, 0].astype(np.int16), y[:, 0].astype(np.int16))
    raise AssertionError("int16 is taken now")
except OverflowError as error:
    print("int16:", error)
PY
