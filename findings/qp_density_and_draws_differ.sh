#!/usr/bin/env bash
# qp-prob 1.1.4, scipy 1.17.1: pdf, cdf and draws of one photometric redshift density disagree.
# Guess: an Ensemble is a set of distributions, as those of scipy: the cdf is the integral of the
#        pdf, the draws follow it, and the pdf integrates to 1.
# Seen:  interp_irregular of N(0, 1), given every 0.5 from -4 to 4, has a symmetric pdf that
#        integrates to 1; its median is -0.25, cdf(0) is 0.60 and the mean of its draws -0.25: half
#        a step of the grid too low, for its cdf sums right ends. interp on the same grid has 0, 0.5
#        and 0. quant from the nine deciles has a pdf that integrates to 0.907, or with
#        dual_spline_average to 0.79, with negative densities; its cdf is 1 from 1.72 on.
# Why:   point estimates, intervals and calibration come from the cdf and the draws, log densities
#        from the pdf: calibration finds a bias that the densities don't have, and log densities of
#        two kinds are compared that don't have the same mass.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 qp-prob==1.1.4
cd "$work" && MPLCONFIGDIR="$work" env/bin/python -I -W ignore - <<'PY'
import numpy as np
import qp
from scipy import stats

grid = np.linspace(-4, 4, 17)
fine = np.linspace(-6, 6, 240_001)
density = stats.norm.pdf(grid)


def integral(one):
    return np.trapezoid(one.pdf(fine).ravel(), fine)


def number(values):
    return float(np.ravel(values)[0])


def seen(name, one):
    draws = one.rvs(size=100_000, random_state=np.random.default_rng(0))
    found = integral(one), number(one.median()), number(one.cdf(0.0)), draws.mean()
    print(name, "integral, median, cdf(0), mean of draws:", *(f"{value:.3f}" for value in found))
    return found


regular = seen("interp:", qp.interp.create_ensemble(grid, density[None]))
assert np.allclose(regular, (1, 0, 0.5, 0), atol=0.01)
one = qp.interp_irregular.create_ensemble(grid[None], density[None])
assert np.allclose(one.pdf(fine), one.pdf(-fine))
area, median, below, mean = seen("interp_irregular:", one)
assert abs(area - 1) < 1e-3
assert abs(median + 0.25) < 0.01 and abs(mean + 0.25) < 0.02, "half a step has gone"
assert abs(below - 0.6) < 0.01, "the cdf at 0 has changed"

deciles = np.linspace(0.1, 0.9, 9)
places = stats.norm.ppf(deciles)[None]
found = {}
for kind in ("piecewise_linear", "dual_spline_average", "cdf_spline_derivative"):
    one = qp.quant.create_ensemble(deciles, places, pdf_constructor_name=kind)
    found[kind] = integral(one), one.pdf(fine).min(), number(one.cdf(1.73))
    print(kind, "integral {:.3f}, lowest density {:.3f}, cdf(1.73) {:.3f}".format(*found[kind]))
default = qp.quant.create_ensemble(deciles, places)
assert integral(default) == found["piecewise_linear"][0], "the default is another now"
assert abs(found["piecewise_linear"][0] - 0.907) < 0.001, "the density has changed"
assert abs(found["dual_spline_average"][0] - 0.792) < 0.001, "the spline has changed"
assert found["dual_spline_average"][1] < -0.02, "densities aren't negative now"
assert abs(found["cdf_spline_derivative"][0] - 1) < 0.001
assert all(top == 1 for _, _, top in found.values()), "the cdf ends elsewhere now"
PY
