#!/usr/bin/env bash
# fcswrite 0.6.4, read with flowio 1.4.0: columns are negated or multiplied by 100 on the way into
# an FCS file.
# Guess: write_fcs(path, names, data) writes the numbers of `data`, rounded to float32.
# Seen:  a column whose mean is below 0 is negated, one within [0, 1] is multiplied by 100, and "_"
#        and blanks vanish from the names, also in the list that was passed. Nothing warns. So one
#        channel of two samples, with means -0.25 and 0.25, has opposite signs in the two files. The
#        switches are compat_negative, compat_percent and compat_chn_names, on by default; with
#        them off the file is exact.
# Why:   codes of an autoencoder, compensated or standardised channels have means about 0 and are
#        turned round file by file; probabilities and gates of 0 and 1 come back as 0 to 100. A
#        comparison of samples then compares x with -x.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 flowio==1.4.0 fcswrite==0.6.4
cd "$work" && env/bin/python -I -W error - <<'PY'
import fcswrite
import flowio
import numpy as np

LOW = np.array([[0.5, -1.0, 0.25], [1.0, 0.5, 0.75]])  # the second column has mean -0.25
HIGH = LOW + np.array([0.0, 0.5, 0.0])  # and here 0.25
NAMES = ["FSC A", "z_1", "p_gate"]


def written(data, **options):
    names = NAMES.copy()
    fcswrite.write_fcs("events.fcs", names, data, **options)
    return flowio.FlowData("events.fcs").as_array(preprocess=False), names


low, names = written(LOW)
high, _ = written(HIGH)
print("written:", LOW.tolist(), "read:", low.tolist())
print("written:", HIGH.tolist(), "read:", high.tolist())
print("names:", NAMES, "after the call:", names)
assert low.tolist() == [[50.0, 1.0, 25.0], [100.0, -0.5, 75.0]], "the values have changed"
assert np.array_equal(high, HIGH * [100, 1, 100]), "the values have changed"
assert names == ["FSCA", "z1", "pgate"], "the names are kept now"
exact, names = written(LOW, compat_negative=False, compat_percent=False, compat_chn_names=False)
assert np.array_equal(exact, LOW) and names == NAMES
PY
