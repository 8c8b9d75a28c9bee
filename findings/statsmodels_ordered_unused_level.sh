#!/usr/bin/env bash
# statsmodels 0.15.0, pandas 3.1.1: an ordered Categorical with a level that no row has stops
# OrderedModel at its start.
# Guess: a level without rows gets probability 0 and changes nothing: the same slope and llf as
#        without the level; or an error names it.
# Seen:  unused in the middle: slope 0 and the log likelihood of the shares alone, where it is 2.09
#        without the level: the start has log(cutpoint - cutpoint) = -inf and the optimizer stays
#        there. There are warnings of a division by 0 and of convergence, none of the level. Unused
#        at the end: "shapes (500,1) and (0,) not aligned", as the start then lacks a cutpoint.
# Why:   after a filter the levels of a Categorical stay, and the fit then says that a strong
#        regressor has no effect.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 statsmodels==0.15.0
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import numpy as np
import pandas as pd
from statsmodels.miscmodels.ordinal_model import OrderedModel

rng = np.random.default_rng(0)
x = rng.normal(size=500)
code = np.digitize(2 * x + rng.logistic(size=500), [-1.0, 1.0])
levels = {
    "all used": (["low", "middle", "high"], [0, 1, 2]),
    "one unused in the middle": (["low", "middle", "unused", "high"], [0, 1, 3]),
    "the last unused": (["low", "middle", "high", "unused"], [0, 1, 2]),
}
found = {}
for name, (categories, codes) in levels.items():
    grades = pd.Categorical.from_codes(np.array(codes)[code], categories, ordered=True)
    model = OrderedModel(pd.Series(grades), x[:, None], distr="logit")
    try:
        fit = model.fit(method="bfgs", disp=0)
    except ValueError as error:
        print(f"{name}: {error}")
        assert name == "the last unused" and "not aligned" in str(error)
        continue
    found[name] = float(fit.params.iloc[0]), fit.llf
    print(f"{name}: slope {found[name][0]:.3f}, llf {fit.llf:.3f}, start {model.start_params}")

slope, llf = found.pop("all used")
shares = np.bincount(code) / len(code)
null = float(np.log(shares[code]).sum())
print(f"log likelihood of the shares alone: {null:.3f}")
assert 1.7 < slope < 2.4 and llf > null + 50
assert list(found) == ["one unused in the middle"], "the last level may be unused now"
slope, llf = found["one unused in the middle"]
assert slope == 0, "the slope is estimated now"
assert math.isclose(llf, null, rel_tol=1e-6), "the log likelihood has changed"
PY
