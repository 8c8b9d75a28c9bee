#!/usr/bin/env bash
# blackjax 1.7.1 on jax 0.10.2 against arviz 0.23.4: pareto_khat of log weights says that bad
# weights are good.
# Guess: blackjax.pareto_khat(log_weights) is the k-hat of Pareto smoothed importance sampling, as
#        az.psislw gives it.
# Seen:  it fits the tails of the numbers it is given, both tails, 10 % each, and does not
#        exponentiate: for 2000 log weights ~ N(0, 4²) it says 0.00 (reliable), az.psislw 1.24
#        (unusable). blackjax.diagnostics.psis_weights is the one that agrees with ArviZ (1.24).
#        pareto_khat(exp(log_weights), tail="upper") is 1.45.
# Why:   the name, the thresholds 0.5 and 0.7 in its text and the argument's shape all fit log
#        weights.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 jax==0.10.2 blackjax==1.7.1 arviz==0.23.4 xarray==2026.9.0 \
    pandas==3.1.1 h5netcdf==1.8.2
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import arviz as az
import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.diagnostics import psis_weights

jax.config.update("jax_enable_x64", True)
log_weights = 4 * np.random.default_rng(0).normal(size=2000)
psis = float(az.psislw(log_weights)[1])
raw = float(blackjax.pareto_khat(jnp.asarray(log_weights)))
upper = float(blackjax.pareto_khat(jnp.exp(jnp.asarray(log_weights)), tail="upper"))
own = float(psis_weights(jnp.asarray(log_weights))[1])
print(
    f"arviz psislw {psis:.3f}; blackjax: psis_weights {own:.3f}, pareto_khat {raw:.3f}, "
    f"of exp, upper tail {upper:.3f}"
)
assert psis > 0.9 and abs(own - psis) < 0.1, "PSIS itself has changed"
assert raw < 0.3, "pareto_khat has changed"
assert abs(upper - psis) < 0.3, "the upper tail has changed"
PY
