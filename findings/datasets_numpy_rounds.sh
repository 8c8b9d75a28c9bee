#!/usr/bin/env bash
# datasets 5.2.0: with_format("numpy") rounds columns of float64 to float32, and integers with a
#        missing cell as well.
# Guess: a table that says Value('float64') comes as arrays of float64, uint8 as uint8 and uint64 as
#        uint64; pandas, polars and Arrow do that. A map that returns its batch changes nothing.
# Seen:  16777217.0 is 16777216.0, 1e300 is inf. The key 20000001 beside a missing one is 20000000.
#        uint64 is int64: 2**63 + 5 is -9223372036854775803; uint8, too, is int64, eight times the
#        memory. One cell, table[0]["x"], is a float64 and unrounded. So a map that returns its rows
#        keeps the numbers; with batched=True it writes the rounded ones into a column that is
#        Value('float64') as before. pandas and Arrow formats round nothing; with_format("numpy",
#        dtype=np.float64) rounds no floats.
# Why:   identifiers, times in seconds and sums of counts are altered on the way to a model, and
#        rows can't be joined to their table afterwards.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1 datasets==5.2.0
export HF_HOME="$work/home" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
import pandas as pd
from datasets import Dataset

frame = pd.DataFrame(
    {
        "x": [16777217.0, 1e300],
        "key": pd.array([20000001, None], dtype="Int64"),
        "wide": np.array([2**63 + 5, 1], np.uint64),
        "pixel": np.array([1, 255], np.uint8),
    }
)
table = Dataset.from_pandas(frame)
stated = {name: str(feature.dtype) for name, feature in table.features.items()}
arrays = table.with_format("numpy")
for name in frame.columns:
    column = arrays[:][name]
    print(f"{name}: stated {stated[name]}, is {column.dtype}: {column.tolist()}")
assert stated == {"x": "float64", "key": "int64", "wide": "uint64", "pixel": "uint8"}
found = {name: column.dtype for name, column in arrays[:].items()}
assert found == {"x": "float32", "key": "float32", "wide": "int64", "pixel": "int64"}, "dtypes"
assert arrays[:]["x"].tolist() == [16777216.0, np.inf], "floats are kept now"
assert arrays[:]["key"][0] == 20000000, "keys are kept now"
assert arrays[:]["wide"][0] == -9223372036854775803, "uint64 is kept now"
assert table.with_format("pandas")[:]["x"].tolist() == [16777217.0, 1e300]
assert table.with_format("arrow")[:]["x"].to_pylist() == [16777217.0, 1e300]
assert table.with_format("numpy", dtype=np.float64)[:]["x"].tolist() == [16777217.0, 1e300]

cell = arrays[0]["x"]
print("one cell:", type(cell).__name__, cell)
assert cell.dtype == np.float64 and cell == 16777217.0, "cells and columns agree now"


def same(rows):
    return {"x": rows["x"]}


single = arrays.map(same).with_format(None)
batched = arrays.map(same, batched=True).with_format(None)
print("mapped by rows:", single[:]["x"], "and in batches:", batched[:]["x"], batched.features["x"])
assert single[:]["x"] == [16777217.0, 1e300]
assert batched.features["x"].dtype == "float64"
assert batched[:]["x"] == [16777216.0, np.inf], "a batched map keeps the numbers now"
PY
