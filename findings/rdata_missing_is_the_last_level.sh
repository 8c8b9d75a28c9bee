#!/usr/bin/env bash
# rdata 1.1.0, pyreadr 0.5.8, pandas 2.3.3: a missing category that rdata writes to R's format is
# read by it as the last level.
# Guess: write_rds and read_rds of rdata keep a column of categories, its missing cells and its
#        order: R has NA in factors, and ordered factors.
# Seen:  ["lo", missing, "hi"] of the levels lo, mid, hi comes back as ["lo", "hi", "hi"], without a
#        warning; where "hi" doesn't occur too. The file has the code 0, which no factor of R has,
#        instead of NA, and 0 - 1 is Python's last. pyreadr reads nan from the same file, and rdata
#        reads nan from a file by pyreadr. Missing integers, truth values and text come back missing
#        in all. An ordered column is unordered afterwards, by either writer.
# Why:   missing labels turn into the most extreme answer of a scale, and an imputation that was to
#        fill them sees no cell to fill.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pandas==2.3.3 rdata==1.1.0 pyreadr==0.5.8
cd "$work" && env/bin/python -I -W error - <<'PY'
import pandas as pd
import pyreadr
import rdata

LEVELS = ["lo", "mid", "hi"]


def by_pyreadr(path):
    return pyreadr.read_r(path)[None]["answer"]


def by_rdata(path):
    return rdata.read_rds(path)["answer"]


for cells in (["lo", None, "hi"], ["lo", None, "mid"]):
    table = pd.DataFrame({"answer": pd.Categorical(cells, categories=LEVELS, ordered=True)})
    rdata.write_rds("rdata.rds", table)
    pyreadr.write_rds("pyreadr.rds", table)
    read = {
        (writer, reader.__name__): reader(f"{writer}.rds")
        for writer in ("rdata", "pyreadr")
        for reader in (by_rdata, by_pyreadr)
    }
    for (writer, reader), column in read.items():
        print(f"{cells}, written by {writer}, read {reader}:", column.tolist(), column.cat.ordered)
        assert list(column.cat.categories) == LEVELS
        assert not column.cat.ordered, "the order is kept now"
        if (writer, reader) == ("rdata", "by_rdata"):
            assert column.tolist() == [cells[0], "hi", cells[2]], "a missing cell is kept now"
        else:
            assert column.isna().tolist() == [False, True, False]

others = {"Int64": [1, None, 2], "boolean": [True, None, False], "string": ["a", None, "b"]}
for kind, cells in others.items():
    rdata.write_rds("other.rds", pd.DataFrame({"answer": pd.array(cells, dtype=kind)}))
    assert by_rdata("other.rds").isna().tolist() == [False, True, False], kind
PY
