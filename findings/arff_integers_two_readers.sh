#!/usr/bin/env bash
# liac-arff 2.5.0 and scipy 1.17.1: one ARFF file, two tables.
# Guess: both readers of ARFF return the same numbers and the same missing values.
# Seen:  in an attribute declared INTEGER liac-arff makes 2.7 to 2 and -0.9 to 0, without a warning
#        (Weka treats integer as numeric, and so does scipy, which has 2.7 and -0.9). A missing
#        nominal value is None with liac-arff and the bytes b'?' with scipy, although '?' isn't
#        among the names that scipy itself lists for the attribute. liac-arff writes an empty string
#        as ?, so that it comes back missing.
# Why:   the same benchmark table from ARFF has other rows in another reader: measurements under a
#        wrong declaration lose their fractions, and one category too many appears.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 liac-arff==2.5.0
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import io

import arff
import scipy.io.arff

TEXT = """@relation table
@attribute size integer
@attribute kind {round, flat}
@data
2.7, round
-0.9, ?
"""
by_liac = arff.loads(TEXT)["data"]
by_scipy, meta = scipy.io.arff.loadarff(io.StringIO(TEXT))
print("liac-arff:", by_liac)
print("scipy:    ", by_scipy.tolist(), "with the names", meta["kind"][1])
assert by_liac == [[2, "round"], [0, None]], "liac-arff has changed"
assert by_scipy.tolist() == [(2.7, b"round"), (-0.9, b"?")], "scipy has changed"
assert meta["kind"] == ("nominal", ("round", "flat"))

table = {"relation": "table", "attributes": [("note", "STRING")], "data": [[""], ["a"]]}
again = arff.loads(arff.dumps(table))["data"]
print("liac-arff, an empty string and 'a' written and read:", again)
assert again == [[None], ["a"]], "empty strings come back now"
PY
