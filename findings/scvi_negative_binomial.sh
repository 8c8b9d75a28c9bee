#!/usr/bin/env bash
# scvi-tools 1.4.2 on torch 2.13.0: two parametrisations with two means, and a mixture whose draws
# all take one component.
# Guess: NegativeBinomial(total_count=2, probs=0.6) is torch's, of mean 2 * 0.6 / 0.4 = 3;
#        sample((100000,)) of a mixture has draws of both components.
# Seen:  the mean is 1.2: probs go through log(probs) as for a categorical, not through the logit.
#        With logits=log 1.5 it is 3. NegativeBinomialMixture(mu1=2, mu2=10, mixture_logits=1).mean
#        is 4.15 and its log_prob agrees, but sample((100000,)) has mean 2.0 or 10.0: the component
#        is drawn once for the whole sample_shape.
# Why:   posterior predictive checks with several draws a cell show no mixture, and counts given by
#        probs have another mean.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 scikit-learn==1.9.1 pyro-ppl==1.9.2 \
    anndata==0.12.19 mudata==0.3.10 xarray==2026.9.0 lightning==2.6.6 scvi-tools==1.4.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import torch
from scvi.distributions import NegativeBinomial, NegativeBinomialMixture

two, probs = torch.tensor(2.0), torch.tensor(0.6)
right = torch.distributions.NegativeBinomial(two, probs).mean.item()
by_probs = NegativeBinomial(total_count=two, probs=probs).mean.item()
by_logits = NegativeBinomial(total_count=two, logits=torch.logit(probs)).mean.item()
print(f"mean by probs {by_probs:.3f}, by logits {by_logits:.3f}, of torch's by probs {right:.3f}")
assert math.isclose(by_logits, right, rel_tol=1e-5)
assert math.isclose(by_probs, 1.2, rel_tol=1e-5), "probs have changed"

mixture = NegativeBinomialMixture(
    mu1=torch.tensor(2.0),
    mu2=torch.tensor(10.0),
    theta1=torch.tensor(3.0),
    mixture_logits=torch.tensor(1.0),
)
counts = torch.arange(0.0, 1000.0)
by_log_prob = (mixture.log_prob(counts).exp() * counts).sum().item()
torch.manual_seed(0)
means = [mixture.sample((100_000,)).mean().item() for _ in range(20)]
print(
    f"mixture: mean {mixture.mean.item():.3f}, by log_prob {by_log_prob:.3f}, of samples",
    [round(m, 2) for m in means],
)
assert math.isclose(by_log_prob, mixture.mean.item(), rel_tol=1e-3)
assert all(min(abs(m - 2), abs(m - 10)) < 0.2 for m in means), "samples mix now"
assert min(means) < 3 < max(means)
PY
