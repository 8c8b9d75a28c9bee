#!/usr/bin/env bash
# pyro-ppl 1.9.2 on torch 2.13.0: the KL of two folded distributions is that of what was folded.
# Guess: |X| for X ~ N(1, 1) and for X ~ N(-1, 1) is the same distribution, so KL = 0, or
#        NotImplementedError.
# Seen:  kl_divergence(FoldedDistribution(N(1, 1)), FoldedDistribution(N(-1, 1))) = 2.0, while
#        log_prob of the two agrees everywhere. torch's rule for transformed distributions compares
#        the bases when the transforms are equal; |x| is a transform there although it has no
#        inverse. The rule also takes a HalfNormal and a folded normal for a pair: 0.5 where 0.125
#        is right.
# Why:   TraceMeanField_ELBO takes this KL; Trace_ELBO does not, so the two differ by nats.
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
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch.distributions import kl_divergence

pyro.set_rng_seed(0)
one, other = (dist.FoldedDistribution(dist.Normal(torch.tensor(loc), 1.0)) for loc in (1.0, -1.0))
x = torch.linspace(0.01, 6, 600)
difference = (one.log_prob(x) - other.log_prob(x)).abs().max().item()
kl = kl_divergence(one, other).item()
print(f"KL {kl}, largest difference of log_prob {difference:.1e}")
assert difference < 1e-5 and abs(kl - 2.0) < 1e-6, "the KL has changed"

half = dist.HalfNormal(torch.tensor(1.0))
x = torch.linspace(1e-6, 12, 120_001)
right = torch.trapezoid(half.log_prob(x).exp() * (half.log_prob(x) - one.log_prob(x)), x).item()
kl = kl_divergence(half, one).item()
print(f"KL(HalfNormal ‖ folded) {kl}, by quadrature {right:.4f}")
assert abs(kl - 0.5) < 1e-6 and abs(right - 0.125) < 1e-3, "the KL has changed"

model, guide = (lambda: pyro.sample("z", other)), (lambda: pyro.sample("z", one))
mean_field, trace = (
    TraceMeanField_ELBO().loss(model, guide),
    Trace_ELBO(num_particles=100).loss(model, guide),
)
print(f"-ELBO: TraceMeanField_ELBO {mean_field:.3f}, Trace_ELBO {trace:.3f}, right 0")
assert abs(mean_field - 2.0) < 1e-6 and abs(trace) < 1e-3, "the ELBO has changed"
PY
