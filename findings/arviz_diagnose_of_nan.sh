#!/usr/bin/env bash
# arviz 1.3.0 (arviz-stats 1.3.3), Python 3.12: az.diagnose finds no problem in draws that are nan.
# Guess:  draws that are all nan, or one chain, whose R-hat doesn't exist, are reported.
# Seen:   "Effective sample size satisfactory for all parameters. R-hat values satisfactory for all
#         parameters. Processing complete, no problems detected.", and the result is False, for no
#         errors; az.rhat and az.ess of the same draws are nan. So it says of one chain, and of two
#         of which one is nan.
# Why:    a run whose chains broke, or with a single chain, passes the check that is meant to catch
#         it: `if az.diagnose(tree): raise ...` never raises.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.12}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.5.5 scipy==1.18.1 pandas==3.1.1 xarray==2026.9.0 \
    arviz==1.3.0 arviz-base==1.3.1 arviz-stats==1.3.3 arviz-plots==1.3.2
cd "$work" && env/bin/python -I - <<'PY'
import contextlib
import io

import arviz as az
import numpy as np

rng = np.random.default_rng(0)
good = rng.normal(size=(4, 1000))
broken = {
    "all nan": np.full((4, 1000), np.nan),
    "one chain": good[:1],
    "one of two chains nan": np.stack([good[0], np.full(1000, np.nan)]),
    "chains apart": good + 5 * np.arange(4)[:, None],
}
said = {}
for name, draws in broken.items():
    tree = az.from_dict({"posterior": {"z": draws}})
    with contextlib.redirect_stdout(io.StringIO()) as text:
        found = az.diagnose(tree)
    said[name] = (found, "no problems detected" in text.getvalue())
    print(f"{name}: R-hat {float(az.rhat(tree)['z']):.2f},", "diagnose", *said[name])
assert said.pop("chains apart") == (True, False), "it misses chains that are apart too"
assert set(said.values()) == {(False, True)}, "it sees nan now"
PY
