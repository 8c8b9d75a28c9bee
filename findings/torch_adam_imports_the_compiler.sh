#!/usr/bin/env bash
# torch 2.13.0: making an optimizer imports the compiler.
# Guess: torch.compile is what imports torch._dynamo; a program that compiles nothing never pays for
#        it.
# Seen:  torch.optim.Adam([weight]) imports more than 500 modules, torch._dynamo and sympy among
#        them, which takes about a second of processor time and some 70 MB; SGD does the same, and
#        each step() imports it again by name. The forward pass and backward() import none of it.
# Why:   a fit of a few hundred steps takes two or three seconds: a third of that is the import of
#        something that it doesn't use. pyro_vae's short runs took it.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
for optimizer in Adam SGD; do
    env/bin/python -I -W ignore - "$optimizer" <<'PY'
import resource
import sys
import time

import torch


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


weight = torch.nn.Parameter(torch.zeros(3))
weight.square().sum().backward()
assert "torch._dynamo" not in sys.modules
modules, megabytes, started = len(sys.modules), peak(), time.process_time()
getattr(torch.optim, sys.argv[1])([weight], lr=0.1)
seconds = time.process_time() - started
print(
    f"{sys.argv[1]}: {len(sys.modules) - modules} modules, {seconds:.2f} s, "
    f"{peak() - megabytes} MB more"
)
assert "torch._dynamo" in sys.modules, "an optimizer imports no compiler now"
assert "sympy" in sys.modules
assert len(sys.modules) - modules > 500
PY
done
