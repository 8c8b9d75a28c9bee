#!/usr/bin/env bash
# pyro-ppl 1.9.2 on torch 2.13.0: a second Gaussian process kernel computes with the hyperparameters
# of the first.
# Guess: RBF(1, variance=9) gives k(0, 0) = 9, whatever other kernels there are.
# Seen:  after RBF(1, variance=1) was called, k(0, 0) = 1 for the new one; its `variance` reads 9
#        before that call and 1 after it. So do two GPRegression models: the second predicts with
#        the kernel variance of the first, and pyro.clear_param_store() between prediction and
#        construction does not bring its own back. Calling a PyroModule registers "variance" in the
#        global parameter store by name, and the name is taken.
# Why:   two models compared in one process are one model, with no error and plausible numbers.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2
cd "$work" && env/bin/python -I - <<'PY'
import pyro
import pyro.contrib.gp as gp
import torch

x = torch.zeros(1, 1)
first = gp.kernels.RBF(1, variance=torch.tensor(1.0))
second = gp.kernels.RBF(1, variance=torch.tensor(9.0))
first(x)
before, value, after = second.variance.item(), second(x).item(), second.variance.item()
print(f"second kernel: variance {before}, k(0, 0) = {value}, variance afterwards {after}")
assert (before, value, after) == (9.0, 1.0, 1.0), "kernels no longer share"

pyro.clear_param_store()
rows, y, far = torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, 1.0]), torch.tensor([[50.0]])


def regression(variance):
    return gp.models.GPRegression(
        rows, y, gp.kernels.RBF(1, variance=torch.tensor(variance)), noise=torch.tensor(0.1)
    )


one, other = regression(1.0), regression(9.0)
variances = [model(far)[1].item() for model in (one, other)]
pyro.clear_param_store()
again = other(far)[1].item()
alone = regression(9.0)
pyro.clear_param_store()
fresh = alone(far)[1].item()
print(
    f"predictive variance far away: {variances}, after clearing {again}, of a model that "
    f"never met the other {fresh}"
)
assert [round(v, 3) for v in (*variances, again, fresh)] == [1.0, 1.0, 1.0, 9.0], (
    "models no longer share"
)
PY
