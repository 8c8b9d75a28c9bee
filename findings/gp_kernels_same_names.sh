#!/usr/bin/env bash
# gpytorch 1.15.2 and pyro-ppl 1.9.2 on torch 2.13.0: a period that is half of one, and two meanings
# of "lengthscale".
# Guess: CosineKernel with period_length 3 repeats after 3; a periodic kernel with lengthscale l and
#        period p is exp(-2 sin²(π d / p) / l²), MacKay's form, in both libraries.
# Seen:  gpytorch's CosineKernel with period_length 3 gives k(0, 3) = -1 and k(0, 6) = 1: it is
#        cos(π d / p). gpytorch's PeriodicKernel divides by l, not by l²: at l = 2, p = 3, d = 1 it
#        gives 0.472, Pyro's Periodic 0.687. Matérn, rational quadratic and polynomial kernels
#        agree.
# Why:   a length scale that was fitted in one library means its square root in the other, and a
#        "period" twice itself.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 gpytorch==1.15.2 \
    pyro-ppl==1.9.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import gpytorch.kernels as gk
import pyro
import pyro.contrib.gp.kernels as pk
import torch


def at(kernel, distance):
    pyro.clear_param_store()
    value = kernel(torch.zeros(1, 1), torch.full((1, 1), distance))
    return (value if isinstance(value, torch.Tensor) else value.to_dense()).item()


cosine = gk.CosineKernel()
cosine.period_length = 3.0
print("CosineKernel, period_length 3: k(0, 3) =", at(cosine, 3.0), " k(0, 6) =", at(cosine, 6.0))
assert abs(at(cosine, 3.0) + 1) < 1e-5 and abs(at(cosine, 6.0) - 1) < 1e-5, "the period has changed"

periodic = gk.PeriodicKernel()
periodic.lengthscale, periodic.period_length = 2.0, 3.0
pyros = pk.Periodic(1, lengthscale=torch.tensor(2.0), period=torch.tensor(3.0))
squared_sine = math.sin(math.pi / 3) ** 2
print(f"periodic kernel at distance 1: gpytorch {at(periodic, 1.0):.4f}, Pyro {at(pyros, 1.0):.4f}")
assert abs(at(periodic, 1.0) - math.exp(-2 * squared_sine / 2)) < 1e-5, "gpytorch has changed"
assert abs(at(pyros, 1.0) - math.exp(-2 * squared_sine / 4)) < 1e-5, "Pyro has changed"

matern = gk.MaternKernel(nu=2.5)
matern.lengthscale = 2.0
assert abs(at(matern, 1.0) - at(pk.Matern52(1, lengthscale=torch.tensor(2.0)), 1.0)) < 1e-5
PY
