#!/usr/bin/env bash
# normflows 1.7.3 on torch 2.13.0: the base distribution GaussianPCA is not a density and has no
# noise.
# Guess: GaussianPCA(dim, latent_dim, sigma) is probabilistic PCA: x = loc + Wᵀ z + σ ε, with the
#        log density of N(loc, Wᵀ W + σ² 1), as its description ("Noise level") says.
# Seen:  log_prob has +D/2 log 2π instead of minus, and the determinant of the covariance instead
#        of its logarithm: for D = 2, W = (1, 0.5), σ = 0.5 it is 3.00 nats too high at each point
#        and integrates to 20. Samples lie exactly on the plane of W: their smallest variance is 0,
#        not σ² = 0.25.
# Why:   the determinant is inside the training loss without its logarithm, so a flow or a VAE with
#        this base is fitted to something else, and its log p(x) can't be compared with any other.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 normflows==1.7.3
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import torch
from normflows.distributions import GaussianPCA

torch.manual_seed(0)
pca = GaussianPCA(dim=2, latent_dim=1, sigma=0.5)
pca.double().requires_grad_(False)
pca.W.copy_(torch.tensor([[1.0, 0.5]]))
covariance = pca.W.T @ pca.W + 0.25 * torch.eye(2)
right = torch.distributions.MultivariateNormal(pca.loc[0], covariance)

x = torch.tensor([[0.0, 0.0], [1.0, -1.0], [2.0, 1.0]]).double()
excess = pca.log_prob(x) - right.log_prob(x)
determinant = torch.det(covariance).item()
seen = 2 * math.log(2 * math.pi) - 0.5 * determinant + 0.5 * math.log(determinant)
print("log_prob minus the normal's log density:", excess.tolist())
assert torch.allclose(excess, torch.full_like(excess, seen)), "log_prob has changed"

axis = torch.linspace(-12, 12, 601).double()
cell = (axis[1] - axis[0]) ** 2
mass = (pca.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * cell).item()
print(f"exp(log_prob) integrates to {mass:.3f}")
assert math.isclose(mass, math.exp(seen), rel_tol=1e-3)

draws, _ = pca(100_000)
variances = torch.linalg.eigvalsh(torch.cov(draws.T))
print("variances of the draws along the axes of PCA:", variances.tolist())
print("of the normal:", torch.linalg.eigvalsh(covariance).tolist())
assert variances[0].abs() < 1e-6, "the draws have noise now"
PY
