#!/usr/bin/env bash
# numpy 2.4.6: is a key among others, where both are 64-bit integers, one uint64 and one int64.
# Guess: `np.isin` asks for each element whether it equals one of the others, and `==` of uint64 and
#        int64 is exact.
# Seen:  a key that is 1 off the only near one isn't in a list of 11, and is in the same list with
#        one more number: up to 10 * n ** 0.145 elements are compared by `==`, and from there on both
#        arrays are joined, as float64, and sorted. `np.intersect1d` always does that: it returns a
#        key that one of the arrays doesn't have, and returns it twice.
# Why:   hashes of rows and other 64-bit ids are read as uint64 from a file in which one is 2**63 or
#        more, and as int64 from one in which none is. A test with few keys passes, and the real
#        table has false matches; with a single key the limit is 10, with a million 74.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check numpy==2.4.6
cd "$work" && env/bin/python -I -W error - <<'PY'
import numpy as np

near = 1001 * 2**50
keys = np.array([near + 1, 2**63 + 5], np.uint64)
others = np.concatenate([[near], np.arange(99)]).astype(np.int64)
print("equal:", (keys[:, None] == others).any())
for count in (11, 12, 100):
    print(f"isin {count}:", np.isin(keys, others[:count]))
assert not (keys[:, None] == others).any(), "equality is not exact"
assert not np.isin(keys, others[:11]).any(), "11 are compared as floats too"
assert np.isin(keys, others[:12]).tolist() == [True, False], "12 are compared exactly"
for n, limit in ((1, 10), (1_000_000, 74)):
    many = np.repeat(keys[:1], n)
    assert not np.isin(many, others[: limit - 1]).any() and np.isin(many, others[: limit + 1]).all()

three = np.array([near + 1, near + 2, 2**63 + 5], np.uint64)
common = [int(key) for key in np.intersect1d(three, others)]
print("intersect1d:", common, "of", three.tolist())
assert common == [near, near], "intersect1d is exact, or unique"
assert near not in three.tolist()
PY
