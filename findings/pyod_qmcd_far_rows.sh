#!/usr/bin/env bash
# pyod 3.6.7: QMCD calls rows normal that lie far outside the training data.
# Guess: larger scores are more abnormal, as in every detector of PyOD, and the score grows, or at
#        least stays, with the distance from the training data.
# Seen:  fitted to 500 rows of N(0, 1) in 2 features, (3, 0) and (4, 4) are outliers, and (6, 0),
#        (10, 10) and (100, 100) are not: their scores, -1.78 and -87, are below that of the
#        centre, -1.774, the lowest of the training rows. The data are scaled to [0, 1] for a
#        discrepancy that is defined only there, and what lies beyond is neither clipped nor
#        refused. ECOD and HBOS keep the order.
# Why:   the worst anomalies pass, by a score below the most normal rows: any ranking or AUC over
#        them turns round.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 numba==0.68.1 pyod==3.6.7
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.qmcd import QMCD

rows = np.random.default_rng(0).normal(size=(500, 2))
path = np.array([[0.0, 0.0], [3.0, 0.0], [4.0, 4.0], [6.0, 0.0], [10.0, 10.0], [100.0, 100.0]])
for detector in (QMCD(), ECOD(), HBOS()):
    detector.fit(rows)
    scores = np.array([detector.decision_function(row[None])[0] for row in path])
    labels = np.array([detector.predict(row[None])[0] for row in path])
    name = type(detector).__name__
    print(f"{name}: scores {scores.round(4).tolist()}, threshold {detector.threshold_:.4f}")
    print("    labels along the path outwards:", labels.tolist())
    if name == "QMCD":
        assert labels.tolist() == [0, 1, 1, 0, 0, 0], "the labels have changed"
        lowest = detector.decision_scores_.min()
        assert (scores[3:] < lowest).all(), "far rows score higher now"
    else:
        assert labels.tolist() == [0, 1, 1, 1, 1, 1]
        assert (np.diff(scores[[0, 2, 4, 5]]) >= 0).all()
PY
