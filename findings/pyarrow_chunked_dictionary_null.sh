#!/usr/bin/env bash
# pyarrow 26.0.1 (narwhals 2.29.0 on it): a missing category becomes the last one.
# Guess: ChunkedArray.to_numpy() of a dictionary column gives None where a cell is null, as
#        Array.to_numpy(zero_copy_only=False) and to_pylist() of the same cells do.
# Seen:  ["u", "v", null] as a dictionary: the Array gives u, v, None; the ChunkedArray, which is what
#        a Table has as a column, gives u, v, v. narwhals' Series.to_numpy() gives u, v, v too, and
#        its is_null() says False, False, True.
# Why:   a table of categories loses its missing cells without a word, and one level has too many rows.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 narwhals==2.29.0 pyarrow==26.0.1
cd "$work" && env/bin/python -I - <<'PY'
import narwhals as nw
import pyarrow as pa

cells = pa.array(["u", "v", None]).dictionary_encode()
column = pa.table({"a": cells})["a"]
seen = {
    "Array": cells.to_numpy(zero_copy_only=False).tolist(),
    "ChunkedArray": column.to_numpy().tolist(),
    "to_pylist": column.to_pylist(),
    "narwhals": nw.from_native(pa.table({"a": cells}))["a"].to_numpy().tolist(),
    "is_null": nw.from_native(pa.table({"a": cells}))["a"].is_null().to_list(),
}
print(seen)
assert seen == {
    "Array": ["u", "v", None],
    "ChunkedArray": ["u", "v", "v"],
    "to_pylist": ["u", "v", None],
    "narwhals": ["u", "v", "v"],
    "is_null": [False, False, True],
}
PY
