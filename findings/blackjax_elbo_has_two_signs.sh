#!/usr/bin/env bash
# blackjax 1.7.1 on jax 0.10.2: `elbo` is the ELBO in pathfinder and its negative in meanfield_vi
# and fullrank_vi.
# Guess: what is called elbo is a lower bound on log Z and goes up.
# Seen:  for a target exp(5) N(3, 2²), whose log Z is 5, a converged meanfield_vi reports info.elbo
#        = -5.0, pathfinder state.elbo = 5.0.
# Why:   models ranked by "elbo" are ranked upside down by one of them, and mixed results cannot be
#        compared.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 jax==0.10.2 optax==0.2.8 blackjax==1.7.1
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import blackjax
import jax
import jax.numpy as jnp
import optax

LOG_Z = 5.0
key = jax.random.key(0)


def log_density(position):
    return jax.scipy.stats.norm.logpdf(position["z"], 3.0, 2.0).sum() + LOG_Z


reported = {}
for name in ("meanfield_vi", "fullrank_vi"):
    algorithm = getattr(blackjax, name)(log_density, optax.adam(0.05), 500)
    state, step = algorithm.init({"z": jnp.zeros(1)}), jax.jit(algorithm.step)
    for i in range(1000):
        state, info = step(jax.random.fold_in(key, i), state)
    reported[name] = float(info.elbo)
state, _ = blackjax.vi.pathfinder.approximate(key, log_density, {"z": jnp.ones(1)})
reported["pathfinder"] = float(state.elbo)
print("log Z =", LOG_Z, reported)
assert abs(reported["meanfield_vi"] + LOG_Z) < 0.1 and abs(reported["fullrank_vi"] + LOG_Z) < 0.1, (
    "the sign has changed"
)
assert abs(reported["pathfinder"] - LOG_Z) < 0.1, "the sign of pathfinder has changed"
PY
