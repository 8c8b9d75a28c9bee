#!/usr/bin/env bash
# pyro-ppl 1.9.2 on torch 2.13.0: NUTS draws its momenta in the type of the energy, not of z.
# Guess: a model of float32 parameters whose likelihood is evaluated in float64 (torch's float32
#        lgamma is off by nats for large counts) runs, with z in float32.
# Seen:  RuntimeError: mat1 and mat2 must have the same dtype, but got Double and Float. The momenta
#        are float64 as the sum of the log densities is, z becomes float64 with the first step, and
#        the first linear layer of the model refuses it. SVI runs on the same model. A model
#        without layers, such as z.exp(), runs, and its draws are float64.
# Why:   one likelihood in double precision stops NUTS and HMC, and the message names a layer of
#        the model instead of the density.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2
cd "$work" && env/bin/python -I - <<'PY'
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal

torch.manual_seed(0)
layer = torch.nn.Linear(2, 3).requires_grad_(False)
x = torch.tensor([1.0, 4.0, 2.0])


def model(decoder, double):
    z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    log_rate = decoder(z)
    rate = (log_rate.double() if double else log_rate).exp()
    pyro.sample("x", dist.Poisson(rate).to_event(1), obs=x)


def draws(decoder, double):
    mcmc = MCMC(NUTS(model), num_samples=5, warmup_steps=5, disable_progbar=True)
    try:
        mcmc.run(decoder, double)
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return mcmc.get_samples()["z"].dtype


def three(z):
    return z.sum(-1, keepdim=True).expand(3)


loss = SVI(model, AutoNormal(model), pyro.optim.Adam({"lr": 0.01}), Trace_ELBO()).step(layer, True)
seen = {
    "float32": draws(layer, False),
    "float64 density": draws(layer, True),
    "without a layer": draws(three, True),
}
print(seen, " loss of SVI", round(loss, 2))
assert seen["float32"] is torch.float32
assert "same dtype" in str(seen["float64 density"]), "momenta have the type of z now"
assert seen["without a layer"] is torch.float64
PY
