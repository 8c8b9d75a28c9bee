"""Integrals of the logistic function over a normal variable, by quadrature with SciPy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import least_squares
from scipy.special import expit, log_expit, ndtr
from scipy.stats import kstest

from pyro_vae.likelihoods.logistic_normal import (
    SCALES,
    WEIGHTS,
    SelectedLogNormal,
    SelectedNormal,
    log_mean_sigmoid,
)

STATED = 2.2e-9  # in the docstring of the module
MEANS = [-60.0, -12.0, -2.5, -0.3, 0.0, 1.0, 7.0, 40.0]
SLOPES = [0.0, 0.1, -1.0, 3.0, -20.0, 150.0]


def mixture_error(parameters, t):
    """Σₖ pₖ Φ(sₖ t) - σ(t), for log s and log p up to a constant."""
    log_scales, log_weights = np.split(parameters, 2)
    weights = np.exp(log_weights) / np.exp(log_weights).sum()
    return ndtr(np.outer(t, np.exp(log_scales))) @ weights - expit(t)


def test_the_mixture_has_the_stated_error():
    t = np.linspace(-60, 60, 400_001)
    error = ndtr(np.outer(t, SCALES)) @ np.array(WEIGHTS) - expit(t)
    assert 0.9 * STATED < np.abs(error).max() < STATED
    assert sum(WEIGHTS) == pytest.approx(1, abs=1e-14)
    assert min(WEIGHTS) > 0


def test_the_constants_are_those_of_a_fit():
    """Least squares from these numbers moves the function by less than its error."""
    start = np.log([*SCALES, *WEIGHTS])
    t = np.linspace(0, 30, 601)
    found = least_squares(lambda one: 1e9 * mixture_error(one, t), start, max_nfev=30)
    moved = mixture_error(found.x, t) - mixture_error(start, t)
    assert np.abs(moved).max() < STATED


def selected_moment(mean, slope, power):
    """∫ N(ε | 0, 1) σ(mean + slope ε) ε^power dε, over its largest exponent, and that exponent."""
    grid = np.linspace(-40, 40, 8001)
    top = (-0.5 * grid**2 + log_expit(mean + slope * grid)).max()

    def function(e):
        exponent = -0.5 * e * e + float(log_expit(mean + slope * e)) - top
        return math.exp(exponent) * e**power / math.sqrt(2 * math.pi)

    peak = grid[np.argmax(-0.5 * grid**2 + log_expit(mean + slope * grid))]
    step = 1 / max(1.0, abs(slope))
    points = {-45.0, 45.0, *(peak + step * np.array([-40, -8, -2, 0, 2, 8, 40]))}
    points |= set(peak + np.array([-8.0, -2.0, 2.0, 8.0]))
    inside = sorted(point for point in points if -45 <= point <= 45)
    pairs = pairwise(inside)
    return sum(quad(function, *pair, epsrel=1e-11, limit=200)[0] for pair in pairs), top


def exact(mean, slope):
    """log E[σ], and mean and variance of ε given that it is chosen."""
    mass, top = selected_moment(mean, slope, 0)
    first = selected_moment(mean, slope, 1)[0] / mass
    second = selected_moment(mean, slope, 2)[0] / mass
    return math.log(mass) + top, first, second - first**2


CASES = [(mean, slope) for mean in MEANS for slope in SLOPES]


@pytest.mark.parametrize(("mean", "slope"), CASES)
def test_mean_and_moments_are_those_of_quadrature(mean, slope):
    log_mass, first, variance = exact(mean, slope)
    numbers = torch.tensor([mean, slope], dtype=torch.float64)
    found = log_mean_sigmoid(numbers[0], numbers[1].square())
    assert float(found) == pytest.approx(log_mass, abs=3e-7)
    loc, scale = torch.tensor([2.0, 0.5], dtype=torch.float64)
    p = SelectedNormal(loc, scale, *numbers)
    assert float((p.mean - loc) / scale) == pytest.approx(first, abs=3e-6)
    assert float(p.variance / scale**2) == pytest.approx(variance, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("slope", [0.0, 0.7, -4.0, 1e3, -1e5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite(slope, dtype):
    mean = torch.linspace(-1e3, 1e3, 401, dtype=dtype, requires_grad=True)
    weight = torch.tensor(slope, dtype=dtype, requires_grad=True)
    found = log_mean_sigmoid(mean, weight.square())
    assert (found <= 0).all()
    found.sum().backward()
    assert mean.grad.isfinite().all()
    assert weight.grad.isfinite()


def test_the_gradient_is_right():
    mean = torch.tensor(MEANS, dtype=torch.float64, requires_grad=True)
    variance = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_mean_sigmoid, (mean, variance))


@pytest.mark.parametrize("mean", [-40.0, -1.0, 3.0])
@pytest.mark.parametrize("slope", [0.0, 1.5, -8.0, 200.0])
def test_draws_follow_the_density(mean, slope):
    torch.manual_seed(0)
    loc, scale, logit, rate = torch.tensor([1.0, 2.0, mean, slope]).double()
    p = SelectedNormal(loc, scale, logit, rate)
    drawn = p.sample((4000,))
    center, width = float(p.mean), float(p.variance.sqrt())
    ends = center - 12 * width, center + 12 * width
    grid = torch.linspace(*ends, 40_001, dtype=torch.float64)
    mass = p.log_prob(grid).exp() * (grid[1] - grid[0])
    cumulative = mass.cumsum(0).numpy()
    assert cumulative[-1] == pytest.approx(1, abs=1e-3)
    test = kstest(drawn.numpy(), lambda x: np.interp(x, grid.numpy(), cumulative))
    assert test.pvalue > 1e-3


@pytest.mark.parametrize("mean", [-15.0, -1.0, 3.0])
@pytest.mark.parametrize("slope", [0.0, 1.5, -8.0])
def test_log_normal_moments(mean, slope):
    loc, scale, logit, rate = torch.tensor([0.3, 0.8, mean, slope]).double()
    p = SelectedLogNormal(SelectedNormal(loc, scale, logit, rate))
    x = torch.linspace(-12, 12, 200_001).double().exp()
    weight = p.log_prob(x).exp() * x
    weight = weight / weight.sum()
    first = float((weight * x).sum())
    second = float((weight * x.square()).sum()) - first**2
    assert float(p.mean) == pytest.approx(first, rel=1e-6)
    assert float(p.variance) == pytest.approx(second, rel=1e-5)
    torch.manual_seed(1)
    drawn = p.sample((20_000,))
    error = float(drawn.mean()) - first
    assert abs(error) < 5 * math.sqrt(second / 20_000)


def test_shapes():
    p = SelectedNormal(torch.zeros(2), torch.ones(2), torch.ones(4, 1), torch.zeros(2))
    assert p.batch_shape == p.mean.shape == p.variance.shape == (4, 2)
    assert p.sample((5,)).shape == (5, 4, 2)
    assert p.expand((3, 4, 2)).sample().shape == (3, 4, 2)
    assert SelectedLogNormal(p).expand((3, 4, 2)).sample((2,)).shape == (2, 3, 4, 2)
