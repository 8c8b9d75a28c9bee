#!/usr/bin/env bash
# narwhals 2.29.0 on polars 2.1.0: from_dict of polars columns makes other columns of them.
# Guess: narwhals.from_dict({"y": series}, backend="polars") has the column that it was given, as
#        frame.with_columns(series) has.
# Seen:  an Enum of the levels b, a, z becomes Categorical, without the order and the unused level;
#        a column of Int128 raises ArrowInvalid. with_columns keeps both.
# Why:   from_dict hands narwhals' own Series to polars, which takes it for a foreign array and goes
#        through Arrow; a table that is put together this way sorts its grades by the alphabet.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 narwhals==2.29.0 polars==2.1.0 pyarrow==26.0.1
cd "$work" && env/bin/python -I - <<'PY'
import narwhals as nw
import polars as pl

levels = ["b", "a", "z"]
grades = nw.from_native(pl.Series("y", ["b", "a"], dtype=pl.Enum(levels)), series_only=True)
made = nw.from_dict({"y": grades}, backend="polars")
kept = nw.from_native(pl.DataFrame({"x": [1, 2]})).with_columns(grades)
print("with_columns:", kept["y"].dtype, kept.sort("y")["y"].to_list())
print("from_dict:   ", made["y"].dtype, made.sort("y")["y"].to_list())
assert kept["y"].dtype == nw.Enum(levels)
assert kept.sort("y")["y"].to_list() == ["b", "a"]
assert made["y"].dtype == nw.Categorical, "from_dict keeps an Enum now"
assert made.sort("y")["y"].to_list() == ["a", "b"]

wide = nw.from_native(pl.Series("y", [1, 2], dtype=pl.Int128), series_only=True)
assert nw.from_native(pl.DataFrame({"x": [1, 2]})).with_columns(wide)["y"].to_list() == [1, 2]
try:
    nw.from_dict({"y": wide}, backend="polars")
except Exception as error:
    print("Int128:", type(error).__name__, error)
    assert type(error).__name__ == "ArrowInvalid"
else:
    raise AssertionError("from_dict keeps Int128 now")
PY
