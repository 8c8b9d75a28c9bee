#!/usr/bin/env bash
# numpyro 0.22.0 and tfp-nightly 0.26.0.dev20261027 on jax 0.10.2: the median of a beta and the
# quartiles of Student's t are wrong, and only these.
# Guess: Beta.icdf(0.5) is the median and StudentT.icdf([0.25, 0.75]) are the quartiles, to the last
#        digits, as at every other probability.
# Seen:  with 64-bit numbers StudentT(30).icdf(0.25) is -0.550 where -0.683 is right (a probability
#        of 0.293); at 0.249 and 0.251 it is right. Beta(2, 1).icdf(0.5) is 0.633 instead of 0.707,
#        wrong for 55 of 64 pairs of parameters. With 32-bit numbers only Beta(1/2, 1/2) and so the
#        quartiles of StudentT(1), ±0.785 instead of ±1, are hit. TFP's Beta.quantile is the source:
#        its inversion stops where the probability equals the bracket, 0.5, before the first step
#        (TFP's own StudentT.quantile takes another way and is right).
# Why:   medians, quartiles, the interval of 50 %, QQ plots with an odd number of rows and priors
#        set by quartiles hit exactly these probabilities; a check at 0.1 and 0.9 doesn't see it.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 scipy==1.17.1 numpyro==0.22.0 \
    tfp-nightly==0.26.0.dev20261027
cd "$work" && JAX_PLATFORMS=cpu env/bin/python -I -W ignore - <<'PY'
import jax
import numpy as np
import numpyro.distributions as dist
import scipy.stats
import tensorflow_probability.substrates.jax as tfp

shapes = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0])
a, b = (side.ravel() for side in np.meshgrid(shapes, shapes))
dfs = np.array([1.0, 2.0, 30.0])
near = [0.1, 0.249, 0.251, 0.4, 0.499, 0.501, 0.6, 0.749, 0.751, 0.9]
for bits, wrong_medians, wrong_quartiles in (
    (32, 1, [True, False, False]),
    (64, 55, [True, True, True]),
):
    jax.config.update("jax_enable_x64", bits == 64)
    probs = np.array([[0.5], *([p] for p in near)])
    errors = np.abs(np.asarray(dist.Beta(a, b).icdf(probs)) - scipy.stats.beta(a, b).ppf(probs))
    assert errors[1:].max() < 1e-3
    wrong = int((errors[0] > 1e-4).sum())
    print(f"{bits} bits: {wrong} of {len(a)} medians of Beta are wrong, by {errors[0].max():.3f}")
    assert wrong == wrong_medians, "the medians have changed"

    probs[0] = 0.25
    right = scipy.stats.t(dfs).ppf(probs)
    found = np.asarray(dist.StudentT(dfs).icdf(probs))
    print("    lower quartiles of StudentT:", found[0].round(4), "right:", right[0].round(4))
    assert np.abs(found - right)[1:].max() < 1e-3
    assert (np.abs(found - right)[0] > 0.05).tolist() == wrong_quartiles, "they have changed"

of_tfp = float(tfp.distributions.Beta(np.float64(2), np.float64(1)).quantile(np.float64(0.5)))
other_way = float(tfp.distributions.StudentT(np.float64(30), 0.0, 1.0).quantile(np.float64(0.25)))
print(f"TFP, 64 bits: median of Beta(2, 1) {of_tfp:.4f}, right {0.5**0.5:.4f};")
print(f"    lower quartile of StudentT(30) {other_way:.4f}")
assert abs(of_tfp - 0.633) < 1e-3
assert abs(other_way - right[0, 2]) < 1e-6
PY
