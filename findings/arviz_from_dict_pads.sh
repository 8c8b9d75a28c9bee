#!/usr/bin/env bash
# arviz 0.23.4: from_dict joins variables of different numbers of chains or draws, and fills with
# nan.
# Guess: a posterior with a (1 chain, 100 draws) and b (2, 50) is refused.
# Seen:  both become (2, 100), 100 of the 200 cells nan, without a warning, and az.ess is nan for
#        both. A one-dimensional array counts as one chain. ArviZ 1.3.0 does the same with
#        {"posterior": {...}} (Python 3.12).
# Why:   one array that was flattened by mistake, or cut short by a break, spoils every variable of
#        the group.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 xarray==2026.9.0 h5netcdf==1.8.2 arviz==0.23.4
cd "$work" && env/bin/python -I - <<'PY'
import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import arviz as az

rng = np.random.default_rng(0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    posterior = az.from_dict(
        posterior={"a": rng.normal(size=100), "b": rng.normal(size=(2, 50))}
    ).posterior
shapes = {
    name: (variable.shape, int(variable.isnull().sum()))
    for name, variable in posterior.data_vars.items()
}
print("shape and number of nan:", shapes, " warnings:", [str(w.message)[:60] for w in caught])
assert shapes == {"a": ((2, 100), 100), "b": ((2, 100), 100)}, "it joins differently"
assert not any("nan" in str(w.message).lower() for w in caught)
ess = {name: float(value) for name, value in az.ess(posterior).items()}
print("ess", ess)
assert all(np.isnan(value) for value in ess.values()), "ess skips nan now"
PY
