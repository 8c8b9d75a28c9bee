#!/usr/bin/env bash
# crepes 0.9.1: intervals at confidence 0.9 and 0.8 are those of the next rank, or infinite.
# Guess: with n calibration residuals the interval's half width is the residual of rank
#        ceil(confidence (n + 1)), the smallest for which split conformal prediction guarantees the
#        coverage: of 9 residuals the largest at 0.9, of 99 the 90th.
# Seen:  at 0.9 with 9 residuals it is infinite, with a warning that 9 are too few; with 99 it is
#        the 91st, with 999 the 901st. At 0.8 it is the 9th of 9. At 0.95 and 0.99 the rank is the
#        guaranteed one. The rank is truncated from (1 - confidence) (n + 1), and 1 - 0.9 is
#        0.09999999999999998.
# Why:   the round numbers of rows (n + 1 a multiple of ten) are those that one chooses for exact
#        coverage; ranks and widths then differ from other software's by one residual, and with few
#        rows the interval says nothing.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 scikit-learn==1.9.1 crepes==0.9.1
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math
from fractions import Fraction

import numpy as np
from crepes import ConformalRegressor

for confidence, rows, seen in (
    ("0.9", 9, math.inf),
    ("0.9", 99, 91),
    ("0.9", 999, 901),
    ("0.8", 9, 9),
    ("0.95", 19, 19),
    ("0.95", 999, 950),
    ("0.99", 99, 99),
):
    residuals = np.arange(1.0, rows + 1)  # the residual of a rank is the rank
    regressor = ConformalRegressor().fit(residuals=residuals)
    interval = regressor.predict_int(np.zeros(1), confidence=float(confidence))[0]
    guaranteed = math.ceil(Fraction(confidence) * (rows + 1))
    print(f"{confidence} with {rows} residuals: half width {interval[1]}, rank due {guaranteed}")
    assert interval[1] == -interval[0] == seen, "the rank has changed"
    assert (seen > guaranteed) == (confidence in ("0.9", "0.8"))
PY
