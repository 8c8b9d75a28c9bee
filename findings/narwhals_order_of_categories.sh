#!/usr/bin/env bash
# narwhals 2.29.0 with pandas 3.1.1, polars 2.1.0, pyarrow 26.0.1: one ordered column, two orders.
# Guess: an ordered categorical of pandas sorts in the order of its levels in the other libraries too:
#        Arrow's dictionary type has the flag ordered, and polars has Enum.
# Seen:  levels low < mid < high sort as low, mid, high in pandas. pyarrow.Table.from_pandas keeps
#        ordered=1, and polars.from_pandas makes Categorical; narwhals sorts both as high, low, mid.
# Why:   rows sorted, or a table cut at the median, differ with the library that holds the grades.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 narwhals==2.29.0 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
cd "$work" && env/bin/python -I - <<'PY'
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa

cells = pd.Categorical(["high", "low", "mid"], categories=["low", "mid", "high"], ordered=True)
frame = pd.DataFrame({"grade": cells})
tables = {
    "pandas": frame,
    "polars": pl.from_pandas(frame),
    "pyarrow": pa.Table.from_pandas(frame, preserve_index=False),
}
assert tables["pyarrow"].schema.field("grade").type.ordered
assert tables["polars"].schema["grade"] == pl.Categorical
seen = {}
for library, table in tables.items():
    column = nw.from_native(table).sort("grade")["grade"]
    seen[library] = column.to_list()
    print(f"{library:8} {column.dtype!s:45} {seen[library]}")
assert seen["pandas"] == ["low", "mid", "high"]
assert seen["polars"] == seen["pyarrow"] == ["high", "low", "mid"], "the order is kept now"
PY
