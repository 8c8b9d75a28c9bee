#!/usr/bin/env bash
# arviz 0.23.4 with pyro-ppl 1.9.2 on torch 2.13.0: rows masked by poutine.mask are back in the log
# likelihood.
# Guess: from_pyro(mcmc, log_likelihood=True) holds 0 for a masked row, whichever way it was masked.
# Seen:  0 for `Normal(...).mask(mask)`, but the unmasked density (here -3 and less) under
#        `poutine.mask(mask=mask)`. The handler's mask is kept on the site; ArviZ asks the site's
#        distribution alone. So with poutine.scale: the posterior is fitted to scaled terms, the log
#        likelihood is unscaled. NumPyro's `handlers.mask` puts the mask into the distribution, so
#        there a masked row is 0 both ways.
# Why:   az.loo then counts rows that the model never saw: elpd is too low, and their k-hat is
#        reported.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2 arviz==0.23.4 xarray==2026.9.0 pandas==3.1.1 \
    scipy==1.17.1 h5netcdf==1.8.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import arviz as az
import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.infer import MCMC, NUTS

x, mask = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False])


def by_handler():
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 3), poutine.mask(mask=mask):
        pyro.sample("x", dist.Normal(mean, 1.0), obs=x)


def by_distribution():
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 3):
        pyro.sample("x", dist.Normal(mean, 1.0).mask(mask), obs=x)


seen = {}
for model in (by_handler, by_distribution):
    pyro.set_rng_seed(0)
    mcmc = MCMC(NUTS(model), num_samples=50, warmup_steps=50, disable_progbar=True)
    mcmc.run()
    log_likelihood = az.from_pyro(mcmc, log_likelihood=True).log_likelihood["x"]
    seen[model.__name__] = log_likelihood.mean(("chain", "draw")).values
    print(model.__name__, seen[model.__name__])
assert seen["by_distribution"][2] == 0.0
assert seen["by_handler"][2] < -20.0, "the handler's mask is kept now"
PY
