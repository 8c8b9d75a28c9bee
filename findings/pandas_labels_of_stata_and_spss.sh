#!/usr/bin/env bash
# pandas 3.1.1 with pyreadstat 1.3.7: one labelled table, saved for Stata and for SPSS.
# Guess: value labels become the same categories; an order is kept where the file has one.
# Seen:  the other way round. Stata has no ordinal variables, and read_stata makes every labelled
#        column ordered, west < east. SPSS has them, and read_spss makes mood, declared ordinal,
#        unordered, its levels sorted by the alphabet: high, low. A level that no row has is left
#        out by both, without a word; read_stata(chunksize=) keeps it, unless some cell of the column
#        is missing. An age with one label, 99 "refused", becomes categories of numbers and a word
#        in both.
# Why:   an ordinal model is fitted to regions and a nominal one to ratings, and new data with the
#        missing level don't fit any more.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 pyreadstat==1.3.7
cd "$work" && env/bin/python -I - <<'PY'
import warnings

import numpy as np
import pandas as pd
import pyreadstat

warnings.simplefilter("ignore", pd.errors.CategoricalConversionWarning)  # of chunks
table = pd.DataFrame({"mood": [1, 3, 1, 1], "region": [1, 2, 2, 1], "age": [30, 99, 40, 50]})
labels = {
    "mood": {1: "low", 2: "mid", 3: "high"},
    "region": {1: "west", 2: "east"},
    "age": {99: "refused"},
}
measures = {"mood": "ordinal", "region": "nominal", "age": "scale"}
table.to_stata("x.dta", write_index=False, value_labels=labels)
pyreadstat.write_sav(
    table, "x.sav", variable_value_labels=labels, variable_measure=measures
)
assert pyreadstat.read_sav("x.sav")[1].variable_measure == measures


def levels(frame):
    return {name: (list(frame[name].cat.categories), frame[name].cat.ordered) for name in frame}


def chunk(path):
    return next(iter(pd.read_stata(path, chunksize=100)))


stata, spss, chunked = levels(pd.read_stata("x.dta")), levels(pd.read_spss("x.sav")), chunk("x.dta")
print("read_stata:", stata)
print("read_spss: ", spss)
print("a chunk:   ", levels(chunked)["mood"])
assert stata["region"] == (["west", "east"], True), "Stata's labels have no order now"
assert spss["mood"] == (["high", "low"], False), "SPSS's order is kept now"
assert stata["mood"] == (["low", "high"], True), "read_stata keeps unused levels now"
assert levels(chunked)["mood"] == (["low", "mid", "high"], True)
assert stata["age"][0] == [30, 40, 50, "refused"] == spss["age"][0], "ages are numbers now"

table.assign(mood=[np.nan, 3, 1, 1]).to_stata("y.dta", write_index=False, value_labels=labels)
print("a chunk with a missing cell:", levels(chunk("y.dta"))["mood"])
assert levels(chunk("y.dta"))["mood"] == (["low", "high"], True)
PY
