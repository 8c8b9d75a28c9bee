#!/usr/bin/env bash
# scipy 1.17.1 and 1.18.1: a sparse matrix of integers divided by 2 has other numbers in other
# formats.
# Guess: x / 2 is a true division in every format, [[0, 3.5], [1.5, 0]] for [[0, 7], [3, 0]].
# Seen:  so it is in csr, csc, coo, bsr and dia. In lil and dok the result is [[0, 3], [1, 0]] in
#        int64, and [[0, -3], ...] for -7: cut towards zero. x / numpy.float64(2) is right in all
#        seven; x / numpy.int64(2) as for 2. A dia matrix of integers fails elsewhere: x.sqrt()
#        returns, and toarray() of it raises "Output dtype not compatible with inputs".
# Why:   matrices are filled in lil or dok. Scaling counts before .tocsr() gives other numbers than
#        after it.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1
cd "$work" && env/bin/python -I - <<'PY'
import numpy as np
import scipy.sparse as sp

COUNTS = np.array([[0, 7], [3, 0]])
for kind in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok"):
    for form in ("array", "matrix"):
        x = getattr(sp, f"{kind}_{form}")(COUNTS)
        half = (x / 2).toarray()
        print(f"{kind}_{form:6} / 2 = {half.tolist()} {half.dtype}")
        cut = kind in ("lil", "dok")
        expected = COUNTS // 2 if cut else COUNTS / 2
        assert half.tolist() == expected.tolist(), f"{kind} divides differently"
        assert half.dtype == (np.int64 if cut else np.float64), f"{kind} has another dtype"
        assert (x / np.float64(2)).toarray().tolist() == (COUNTS / 2).tolist()
        assert (x / np.int64(2)).toarray().tolist() == expected.tolist()
negative = (sp.lil_array(-COUNTS) / 2).toarray()
print("lil_array of the negative numbers / 2 =", negative.tolist())
assert negative.tolist() == [[0, -3], [-1, 0]], "it is cut differently"

root = sp.dia_array(COUNTS.astype(np.uint8)).sqrt()
try:
    root.toarray()
except ValueError as error:
    print("dia_array of uint8, sqrt, toarray:", error)
else:
    raise AssertionError("the roots of a dia array can be read now")
PY
