#!/usr/bin/env bash
# pyro-ppl 1.9.2, torch 2.13.0: TraceEnum_ELBO of float64 programs with a partly observed label.
# Guess: a model whose tensors are all float64 works with `TraceEnum_ELBO` as with `Trace_ELBO`,
#        whatever torch's default type is: labels are integers, and everything else is a double.
# Seen:  with a discrete site that has obs_mask and infer={"enumerate": "parallel"} the loss raises
#        RuntimeError "both inputs should have same dtype" from the contraction of the costs. It is
#        the default type that matters: after torch.set_default_dtype(torch.float64) the same
#        programs run, and without the mask they run either way.
# Why:   a semi-supervised model in float64 stops in a message that names no site and no remedy.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import TraceEnum_ELBO

LABELS = torch.tensor([0, 1, 1, 0])
X = torch.tensor([-1.0, 1.2, 0.9, -0.8], dtype=torch.float64)
KNOWN = torch.tensor([True, False, True, False])
LOC = torch.tensor([-1.0, 1.0], dtype=torch.float64)
LOGITS = torch.zeros(2, dtype=torch.float64)
EVERY = {"enumerate": "parallel"}


def model(mask):
    with pyro.plate("data", 4):
        label = dist.Categorical(logits=LOGITS)
        if mask is None:
            y = pyro.sample("y", label, infer=EVERY)
        else:
            y = pyro.sample("y", label, obs=LABELS, obs_mask=mask, infer=EVERY)
        pyro.sample("x", dist.Normal(LOC[y], torch.ones((), dtype=torch.float64)), obs=X)


def guide(mask):
    with pyro.plate("data", 4):
        name = "y" if mask is None else "y_unobserved"
        logits = torch.zeros(4, 2, dtype=torch.float64)
        if mask is None:
            pyro.sample(name, dist.Categorical(logits=logits), infer=EVERY)
        else:
            with pyro.poutine.mask(mask=~mask):
                pyro.sample(name, dist.Categorical(logits=logits), infer=EVERY)


def outcome(mask):
    try:
        return round(TraceEnum_ELBO(max_plate_nesting=1).loss(model, guide, mask), 6)
    except RuntimeError as error:
        return str(error)


before = {name: outcome(mask) for name, mask in (("all unknown", None), ("masked", KNOWN))}
torch.set_default_dtype(torch.float64)
after = {name: outcome(mask) for name, mask in (("all unknown", None), ("masked", KNOWN))}
print("default float32:", before, "default float64:", after)
assert all(isinstance(value, float) for value in after.values())
assert before["all unknown"] == after["all unknown"]
assert "dtype" in str(before["masked"]), "the masked site works in float64 now"
PY
