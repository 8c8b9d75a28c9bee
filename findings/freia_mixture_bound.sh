#!/usr/bin/env bash
# FrEIA 0.2 on torch 2.13.0: the "upper bound" of the mixture's negative log likelihood is below it.
# Guess: GaussianMixtureModel.nll_upper_bound, "numerically more stable upper bound of the negative
#        log-likelihood", is never below nll_loss of the same arguments.
# Seen:  for two equal components of standard deviation 0.1 in 2 dimensions the loss at the mean is
#        -4.61 and the "bound" is -7.82; with 5 equal components it is -14.98. It sums
#        -log(w_k p_k) over the components without weights, which bounds the loss only while no
#        other component's w_k p_k exceeds 1, and the density of a narrow component does.
# Why:   minimised as a bound it falls below any reachable loss, and rewards narrow components that
#        the data don't support; figures of it can't be read as a log likelihood.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 FrEIA==0.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import torch
from FrEIA.modules import GaussianMixtureModel

for components, seen in ((2, -7.824), (5, -14.979)):
    weights = torch.full((1, components), 1 / components)
    means = torch.zeros(1, components, 2)
    # the logarithms of the diagonal of the precision's Cholesky factor, then what is off it
    entries = torch.tensor([math.log(10), math.log(10), 0.0]).expand(1, components, 3)
    mixture = GaussianMixtureModel([(2,)], [(components,), (components, 2), (components, 3), (1,)])
    (z,), log_determinants = mixture([torch.zeros(1, 2)], [weights, means, entries, None])
    loss = mixture.nll_loss(weights, z, log_determinants).item()
    bound = mixture.nll_upper_bound(weights, z, log_determinants).item()
    right = -torch.distributions.Normal(0.0, 0.1).log_prob(torch.zeros(2)).sum().item()
    print(f"{components} components: loss {loss:.3f}, its upper bound {bound:.3f}")
    assert math.isclose(loss, right - math.log(2 * math.pi), abs_tol=1e-3)  # without its constant
    assert math.isclose(bound, seen, abs_tol=1e-3), "the bound has changed"
    assert bound < loss
PY
