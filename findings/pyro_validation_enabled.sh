#!/usr/bin/env bash
# pyro-ppl 1.9.2 with torch 2.13.0: `pyro.validation_enabled()` doesn't restore torch's switch.
# Guess: a context manager leaves all switches as they were before it.
# Seen:  it saves Pyro's switch and sets both by it. Who has turned off
#        `torch.distributions.Distribution.set_default_validate_args(False)` and left Pyro's on has
#        torch's on after any such block, also after `with pyro.validation_enabled(False)`. So with
#        `pyro.distributions.validation_enabled`. `pyro.settings.context` restores each switch.
# Why:   whoever exports, compiles or times with validation off has data-dependent checks in the
#        next call, after any library function that uses the context manager.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 pyro-ppl==1.9.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import pyro
from torch.distributions import Distribution

NAMES = ("validate_distributions_pyro", "validate_distributions_torch")


def switches():
    return [pyro.settings.get(name) for name in NAMES]


def after(block):
    pyro.enable_validation(True)
    Distribution.set_default_validate_args(False)
    before = switches()
    with block:
        pass
    return before, switches()


for block in (pyro.validation_enabled(False), pyro.distributions.validation_enabled(False)):
    before, later = after(block)
    print("before", before, "after", later)
    assert before == [True, False]
    assert later == [True, True], "torch's switch is restored now"
before, later = after(pyro.settings.context(**dict.fromkeys(NAMES, False)))
print("pyro.settings.context: before", before, "after", later)
assert later == before
PY
