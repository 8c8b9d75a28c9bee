#!/usr/bin/env bash
# astropy 8.0.2: the mask of truth values is lost in a FITS table.
# Guess: a masked cell comes back masked, as it does for integers, floats and text; FITS has a null
#        for truth values (the byte 0, beside "T" and "F").
# Seen:  what lies under the mask is written, a masked True as "T": the file is, byte for byte, that
#        of the table without a mask, and no warning is given. Integers and floats of the same table
#        come back masked.
# Why:   flags of quality that were "not observed" are "good" or "bad" after a save, depending on
#        what lay under the mask.
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
from astropy.table import MaskedColumn, Table

CELLS = {"flag": [True, False, True], "count": [1, 2, 3], "mass": [1.0, 2.0, 3.0]}


def written(name, columns):
    Table(columns).write(name)
    with open(name, "rb") as stream:
        return stream.read()


mask = [False, False, True]
masked = {name: MaskedColumn(cells, mask=mask) for name, cells in CELLS.items()}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    written("masked.fits", masked)
    read = Table.read("masked.fits")
    found = {name: np.ma.getmaskarray(read[name]).tolist() for name in read.colnames}
    only_flag = written("flag.fits", {"flag": masked["flag"]})
    plain_flag = written("plain.fits", {"flag": CELLS["flag"]})
print("masks:", found)
print("flags:", read["flag"].tolist(), "warnings:", len(caught))
assert found["count"] == found["mass"] == mask
assert found["flag"] == [False] * 3, "the mask of the flags is kept now"
assert read["flag"].tolist() == CELLS["flag"]
assert only_flag == plain_flag, "a null is written now"
assert not caught, "there is a warning now"
PY
