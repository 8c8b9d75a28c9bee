#!/usr/bin/env bash
# normflows 1.7.3 on torch 2.13.0: the Gaussian decoder takes its constant from the latent space.
# Guess: NNDiagGaussianDecoder.log_prob(x, z) is the log density of a diagonal normal over x, with
#        its constant -D/2 log 2π for D pixels, since it writes a constant at all.
# Seen:  the constant is -L/2 log 2π with the number of latents L. With 784 pixels and 8 latents
#        log p(x | z), and with it NormalizingFlowVAE's log_p, is 713.1 nats too high; in another
#        model of the same pixels with 64 latents it is 661.6. The encoder's log_q has the right
#        constant.
# Why:   the constant doesn't move the gradient, so training hides it; but two models that differ
#        in their number of latents are ranked by it (0.92 nats a latent), and log p(x) is wrong.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 normflows==1.7.3
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import normflows
import torch

PIXELS = 784
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
x = torch.randn(5, PIXELS)
for latents in (8, 64):
    decoder = normflows.distributions.NNDiagGaussianDecoder(torch.nn.Linear(latents, 2 * PIXELS))
    encoder = normflows.distributions.NNDiagGaussian(torch.nn.Linear(PIXELS, 2 * latents))
    prior = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros(latents), torch.ones(latents)), 1
    )
    vae = normflows.NormalizingFlowVAE(prior, encoder, [], decoder)
    with torch.no_grad():
        z, log_q, log_p = vae(x)
        z, log_q, log_p = z[:, 0], log_q[:, 0], log_p[:, 0]
        mean, deviation = decoder(z)
        right = torch.distributions.Normal(mean, deviation).log_prob(x).sum(1)
        excess = log_p - prior.log_prob(z) - right
        location, log_variance = encoder.net(x).chunk(2, dim=1)
        right_q = torch.distributions.Normal(location, (log_variance / 2).exp()).log_prob(z).sum(1)
    seen = (PIXELS - latents) / 2 * math.log(2 * math.pi)
    print(f"{latents} latents: log p(x | z) is {excess.mean():.1f} nats too high")
    assert torch.allclose(excess, torch.full_like(excess, seen)), "the constant has changed"
    assert torch.allclose(log_q, right_q), "the encoder has changed"
PY
