#!/usr/bin/env bash
# anndata 0.12.6, loompy 3.0.8, pandas 2.3.3: a mask that went through a Loom file picks other
#        genes.
# Guess: write_loom and read_loom keep a column of True and False, and counts as they are.
# Seen:  [True, False, True] comes back as the uint8 1, 0, 1: table[:, table.var["selected"]] then
#        has the genes 1, 0 and 1 instead of 0 and 2, one of them twice, without an error, and
#        ~table.obs["passed"] is [254, 255]. X is float32: a count of 16777217 is 16777216, and
#        1e-50 is 0, though the file has float64 (loompy reads it). A missing category is the text
#        "nan". write_h5ad and read_h5ad keep all of these.
# Why:   masks of selected genes and of cells that passed are what such tables carry; a model is
#        fitted to the first two genes, many times, and nothing is out of shape.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 h5py==3.16.0 numba==0.68.1 \
    anndata==0.12.6 loompy==3.0.8
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import anndata
import loompy
import numpy as np
import pandas as pd

table = anndata.AnnData(
    np.array([[16777217.0, 3.0, 1e-50], [5.0, 6.0, 7.0]]),
    obs=pd.DataFrame({"passed": [True, False]}, index=["cell 0", "cell 1"]),
    var=pd.DataFrame(
        {
            "selected": [True, False, True],
            "kind": pd.Categorical(["a", None, "b"]),
        },
        index=["gene 0", "gene 1", "gene 2"],
    ),
)
table.copy().write_h5ad("table.h5ad")
table.copy().write_loom("table.loom")
wanted = anndata.read_h5ad("table.h5ad")
found = anndata.read_loom("table.loom", obs_names="obs_names", var_names="var_names")


def selected(one):
    return one[:, one.var["selected"]].var_names.tolist()


def failed(one):
    return (~one.obs["passed"]).tolist()


for name, one in {"h5ad": wanted, "loom": found}.items():
    cells = np.asarray(one.X if isinstance(one.X, np.ndarray) else one.X.toarray())
    print(name, selected(one), failed(one), cells.dtype, cells[0], one.var["kind"].tolist())
assert selected(wanted) == ["gene 0", "gene 2"] and failed(wanted) == [False, True]
assert wanted.X.dtype == np.float64 and wanted.var["kind"].isna().sum() == 1
assert selected(found) == ["gene 1", "gene 0", "gene 1"], "a mask is a mask now"
assert failed(found) == [254, 255], "a mask of cells is a mask now"
assert found.X.dtype == np.float32 and found.X[0, 0] == 16777216, "counts are kept now"
assert found.X[0, 2] == 0, "small numbers are kept now"
assert found.var["kind"].tolist() == ["a", "nan", "b"], "a missing category is kept now"
with loompy.connect("table.loom", "r") as file:
    assert file[:, :].dtype == np.float64 and file[0, 0] == 16777217
PY
