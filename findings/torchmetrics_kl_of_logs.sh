#!/usr/bin/env bash
# torchmetrics 1.9.0 on torch 2.13.0: the KL divergence of logarithms is nan where p is zero.
# Guess: kl_divergence(log p, log q, log_prob=True) is kl_divergence(p, q), and finite where p is 0:
#        0 log 0 counts as 0, as scipy's rel_entr and torch's Categorical have it.
# Seen:  for p = (1, 0), q = (1/2, 1/2) it is log 2 from probabilities and nan from logarithms, and
#        one such row makes the mean of a batch, and of the metric KLDivergence, nan. Rows without
#        zeros agree.
# Why:   the form for logarithms is chosen for stability; one-hot rows, masked logits (-inf) and
#        float32 probabilities that underflow turn the metric of an epoch to nan.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 torchmetrics==1.9.0
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import torch
from torchmetrics import KLDivergence
from torchmetrics.functional import kl_divergence

p = torch.tensor([[1.0, 0.0], [0.3, 0.7]])
q = torch.tensor([[0.5, 0.5], [0.6, 0.4]])
plain = kl_divergence(p, q, reduction="none").tolist()
logs = kl_divergence(p.log(), q.log(), log_prob=True, reduction="none").tolist()
right = torch.distributions.kl_divergence(
    torch.distributions.Categorical(p), torch.distributions.Categorical(q)
).tolist()
metric = KLDivergence(log_prob=True)
metric.update(p.log(), q.log())
mean = metric.compute().item()
print("from probabilities:", plain, "from logarithms:", logs, "the metric:", mean)
assert math.isclose(plain[0], math.log(2), rel_tol=1e-6)
assert all(math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6) for a, b in zip(plain[1:], right[1:]))
assert math.isnan(logs[0]) and math.isnan(mean), "logarithms of zero are taken now"
assert math.isclose(logs[1], plain[1], rel_tol=1e-5)
PY
