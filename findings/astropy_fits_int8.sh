#!/usr/bin/env bash
# astropy 8.0.2: a table column of int8 that goes through a FITS file is boolean.
# Guess: small signed integers come back as integers, or are refused: FITS has no signed byte.
# Seen:  Table({"q": int8 [1, -100, 0]}).write(...fits) and Table.read give bool [True, True,
#        False], without a warning. uint8 and int16 come back as they were. An empty string comes
#        back masked.
# Why:   int8 is how small counts and quantised pixels are kept; after a save they are flags, and
#        the values are gone.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 astropy==8.0.2
cd "$work" && env/bin/python -I - <<'PY'
import warnings

import numpy as np
from astropy.table import Table

table = Table(
    {
        "int8": np.array([1, -100, 0], "i1"),
        "uint8": np.array([1, 200, 0], "u1"),
        "int16": np.array([1, -100, 0], "i2"),
        "text": ["", "x", "y"],
    }
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    table.write("table.fits")
    back = Table.read("table.fits")
for name in back.colnames:
    print(
        f"{name:6} {table[name].dtype} {table[name].tolist()} -> {back[name].dtype} "
        f"{back[name].tolist()}"
    )
print("warnings:", [str(w.message)[:80] for w in caught])
assert back["int8"].dtype == bool and back["int8"].tolist() == [True, True, False], (
    "int8 is kept now"
)
assert back["uint8"].tolist() == [1, 200, 0] and back["int16"].tolist() == [1, -100, 0]
assert back["text"].mask.tolist() == [True, False, False], "an empty string is kept now"
assert not caught
PY
