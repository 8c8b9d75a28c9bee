#!/usr/bin/env bash
# pyro-ppl 1.9.2 on torch 2.13.0: a replayed model has the guide's `infer`, not its own.
# Guess: poutine.replay fixes the values of a model's sites and leaves the rest of them alone.
# Seen:  in replay(model, trace=guide's trace) a site that the model declares with
#        infer={"share": 270} has the dict of the guide's site, and its own is gone: {} where the
#        guide says nothing. The model's own trace, without replay, has it.
# Why:   notes for an inference algorithm (how a site is scaled, enumerated, printed) that are
#        written in the model are lost in every ELBO, all of which replay the model.
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
from pyro import poutine

normal = dist.Normal(torch.tensor(0.0), 1.0)


def model():
    return pyro.sample("u", normal, infer={"share": 270})


def silent():
    return pyro.sample("u", normal)


def talking():
    return pyro.sample("u", normal, infer={"share": 1})


own = poutine.trace(model).get_trace().nodes["u"]["infer"]
found = []
for guide in (silent, talking):
    q = poutine.trace(guide).get_trace()
    p = poutine.trace(poutine.replay(model, trace=q)).get_trace()
    found.append(dict(p.nodes["u"]["infer"]))
print(f"alone {own}, replayed {found}")
assert own["share"] == 270, "the model's own note has changed"
assert "share" not in found[0] and found[1]["share"] == 1, "replay has changed"
PY
