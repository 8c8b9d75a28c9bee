#!/usr/bin/env bash
# jax 0.10.2 against scipy 1.17.1: counts that are no whole numbers, and two edges.
# Guess: jax.scipy.stats follows scipy.stats: the probability of 2.5 counts is 0 under every count
#        distribution.
# Seen:  jax gives -inf for poisson only; for nbinom, binom, betabinom, geom and bernoulli a finite
#        number between those of the neighbours (nbinom.logpmf(2.5, 3, 0.4) = -1.962).
#        chi2.logpdf(0, df=2) is nan (right -0.693), t.logpdf(0, df=inf) is nan (right -0.919).
# Why:   scaled or averaged counts are scored by a likelihood that does not sum to one, without a
#        word.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 jax==0.10.2
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I - <<'PY'
import math

import jax
import jax.scipy.stats as ours
import scipy.stats as theirs

jax.config.update("jax_enable_x64", True)
between = {
    "nbinom": (2.5, 3, 0.4),
    "binom": (2.5, 10, 0.3),
    "betabinom": (2.5, 10, 2.0, 3.0),
    "geom": (1.5, 0.3),
    "bernoulli": (0.5, 0.3),
    "poisson": (2.5, 3.0),
}
for name, arguments in between.items():
    got = float(getattr(ours, name).logpmf(*arguments))
    print(
        f"{name}.logpmf{arguments}: jax {got:.4f}, scipy {getattr(theirs, name).logpmf(*arguments)}"
    )
    assert getattr(theirs, name).logpmf(*arguments) == -math.inf
    assert math.isinf(got) == (name == "poisson"), f"{name} has changed"
for name, arguments in {"chi2": (0.0, 2.0), "t": (0.0, math.inf)}.items():
    got, right = (
        float(getattr(ours, name).logpdf(*arguments)),
        float(getattr(theirs, name).logpdf(*arguments)),
    )
    print(f"{name}.logpdf{arguments}: jax {got}, scipy {right:.4f}")
    assert math.isnan(got) and math.isfinite(right), f"{name} has changed"
PY
