#!/usr/bin/env bash
# arviz 0.23.4, blackjax 1.7.1, numpyro 0.22.0 (jax 0.10.2), pyro-ppl 1.9.2 (torch 2.13.0): a chain
# that never moves.
# Guess: 4 chains of 500 equal draws have no effective sample size: nan, or the same answer in every
#        library.
# Seen:  ArviZ says 2000, all of them; blackjax 0; NumPyro and Pyro nan. R-hat is nan in each.
# Why:   a stuck sampler, or a latent that has collapsed, passes `ess > 400` in ArviZ, and min(ess)
#        over sites hides it.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 xarray==2026.9.0 h5netcdf==1.8.2 \
    arviz==0.23.4 jax==0.10.2 numpyro==0.22.0 blackjax==1.7.1 pyro-ppl==1.9.2
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import arviz as az
import blackjax.diagnostics
import jax.numpy as jnp
import numpy as np
import numpyro.diagnostics
import pyro.ops.stats
import torch

stuck = np.ones((4, 500))
ess = {
    "arviz": float(az.ess(stuck)),
    "blackjax": float(blackjax.diagnostics.effective_sample_size(jnp.asarray(stuck))),
    "numpyro": float(numpyro.diagnostics.effective_sample_size(stuck)),
    "pyro": float(
        pyro.ops.stats.effective_sample_size(torch.from_numpy(stuck), chain_dim=0, sample_dim=1)
    ),
}
print("ess", ess, " rhat of ArviZ", float(az.rhat(stuck)))
assert ess["arviz"] == 2000.0, "ArviZ has changed"
assert ess["blackjax"] == 0.0, "blackjax has changed"
assert np.isnan(ess["numpyro"]) and np.isnan(ess["pyro"]), "NumPyro or Pyro has changed"
assert np.isnan(float(az.rhat(stuck)))
PY
