#!/usr/bin/env bash
# narwhals 2.29.0 with pandas 3.1.1, polars 2.1.0, pyarrow 26.0.1: one table, three arrays.
# Guess: nw.from_native(frame).to_numpy() has the same dtype and values whichever library holds the
#        table.
# Seen:  true/false beside 1/2: int64 from polars and pyarrow, object from pandas. true/null beside
#        1.0/2.0: float64 with nan from polars, object with None from pyarrow, object with <NA> from
#        pandas. 1/null beside 1.0/2.0: float64 from all.
# Why:   an object array has no isnan and no torch tensor, so code that was tested on one backend
#        raises on another's table.
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

flags, gaps, counts = (
    {"a": [True, False], "b": [1, 2]},
    {"a": [True, None], "b": [1.0, 2.0]},
    {"a": [1, None], "b": [1.0, 2.0]},
)
tables = {
    "flags": {
        "pandas": pd.DataFrame(flags),
        "polars": pl.DataFrame(flags),
        "pyarrow": pa.table(flags),
    },
    "flags and a null": {
        "pandas": pd.DataFrame(gaps).astype({"a": "boolean"}),
        "polars": pl.DataFrame(gaps),
        "pyarrow": pa.table(gaps),
    },
    "counts and a null": {
        "pandas": pd.DataFrame(counts).astype({"a": "Int64"}),
        "polars": pl.DataFrame(counts),
        "pyarrow": pa.table(counts),
    },
}
seen = {}
for name, frames in tables.items():
    arrays = {backend: nw.from_native(frame).to_numpy() for backend, frame in frames.items()}
    seen[name] = {backend: str(array.dtype) for backend, array in arrays.items()}
    print(name, seen[name], {backend: array[1].tolist() for backend, array in arrays.items()})
assert seen["flags"] == {"pandas": "object", "polars": "int64", "pyarrow": "int64"}, (
    "flags have changed"
)
assert seen["flags and a null"] == {"pandas": "object", "polars": "float64", "pyarrow": "object"}, (
    "nulls have changed"
)
assert set(seen["counts and a null"].values()) == {"float64"}, "counts have changed"
PY
