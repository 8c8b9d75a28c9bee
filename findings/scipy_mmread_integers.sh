#!/usr/bin/env bash
# scipy 1.17.1 and 1.18.1: scipy.io.mmread reads a part of a number in a Matrix Market file of
# integers, without a word.
# Guess: 1e+05 in a file whose first line says "integer" is 100000, or an error.
# Seen:  it is 1, and 2.5 is 2, 1,5 is 1, 3abc is 3: what follows the digits is skipped. NA is an
#        error. With "real" in the first line 1e+05 is 100000.0, and 3abc still 3.0. numpy.loadtxt
#        on the same lines has 100000.0, and an error for 3abc and 1,5.
# Why:   R prints 100000 as 1e+05, and older versions of scipy.io.mmwrite wrote 1e+16: the largest
#        counts of a single-cell matrix become 1.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1
cd "$work" && env/bin/python -I - <<'PY'
import io

import numpy as np
from scipy.io import mmread


def read(field, number):
    text = f"%%MatrixMarket matrix coordinate {field} general\n1 1 1\n1 1 {number}\n"
    return mmread(io.BytesIO(text.encode())).toarray()[0, 0].item()


seen = {"7": 7, "1e+05": 1, "2.5": 2, "1,5": 1, "3abc": 3}
for number, expected in seen.items():
    got = read("integer", number)
    print(f"integer {number:6} -> {got}")
    assert got == expected, f"{number} is read differently"
for number, expected in {"1e+05": 1e5, "3abc": 3.0}.items():
    got = read("real", number)
    print(f"real    {number:6} -> {got}")
    assert got == expected, f"{number} is read differently"
try:
    read("integer", "NA")
except ValueError as error:
    print(f"integer NA     -> {error}")
else:
    raise AssertionError("NA is a number now")
assert np.loadtxt(io.StringIO("1 1 1e+05")).tolist() == [1, 1, 100000]
for number in ("3abc", "1,5"):
    try:
        np.loadtxt(io.StringIO(f"1 1 {number}"))
    except ValueError as error:
        print(f"loadtxt {number:6} -> {str(error).splitlines()[0]}")
    else:
        raise AssertionError(f"loadtxt reads {number} now")
PY
