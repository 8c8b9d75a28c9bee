"""Densities integrate or sum to one, and the draws, the mean and the variance are theirs."""

import itertools
import math

import pytest
import torch
from scipy.integrate import quad_vec
from torch.distributions import Distribution, Independent

from tests.likelihoods.families import CASES, family, outputs, vae

SIGMAS = 5
DRAWS = 40_000
COUNTS_TO = 4000
FEATURE_WISE = [
    name
    for name in CASES
    if isinstance(family(name)(outputs(family(name))), Independent)
]
ON_A_LINE = [
    name for name in CASES if name != "distribution, VonMises"
]  # its mean and variance are circular
ENDS = {
    "log_normal": (0, math.inf),
    "gamma": (0, math.inf),
    "beta": (0, 1),
    "continuous_bernoulli": (0, 1),
    "distribution, Weibull": (0, math.inf),
    "distribution, VonMises": (-math.pi, math.pi),
}


def integral(p: Distribution, name: str, power: int = 0) -> torch.Tensor:
    """E[xᵢ^power] of each feature, by the density alone: a sum over the values or a quadrature."""
    each = p.base_dist
    if family(name).support.is_discrete:
        values = torch.arange(COUNTS_TO, dtype=torch.float64)
        values = values[family(name).support.check(values)].reshape(
            -1, *(1 for _ in p.event_shape)
        )
        return (each.log_prob(values).exp() * values**power).sum(0)
    low, high = ENDS.get(name, ENDS.get(name.split(",")[0], (-math.inf, math.inf)))

    def mass(x: float):
        value = torch.full(p.event_shape, x, dtype=torch.float64)
        return (each.log_prob(value).exp() * value**power).detach().numpy()

    return torch.as_tensor(
        quad_vec(mass, low, high, epsabs=1e-8, epsrel=1e-8, limit=400)[0]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURE_WISE)
def test_every_feature_has_mass_one_and_the_moments_that_it_says(name):
    p = family(name)(outputs(family(name))).expand(())
    torch.testing.assert_close(
        integral(p, name),
        torch.ones(p.event_shape, dtype=torch.float64),
        rtol=1e-5,
        atol=1e-5,
    )
    if name not in ON_A_LINE:
        return
    mean = integral(p, name, 1)
    torch.testing.assert_close(p.mean, mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        p.variance, integral(p, name, 2) - mean.square(), rtol=1e-3, atol=1e-4
    )


def test_which_likelihoods_are_not_feature_by_feature():
    others = {name for name in CASES if name not in FEATURE_WISE}
    assert {name.split(",")[0] for name in others} == {
        *("mixed", "multinomial", "normal", "poisson", "negative_binomial"),
        *("zero_inflated_poisson", "zero_inflated_negative_binomial"),
    }
    assert all(
        name.endswith(("sized", "total"))
        for name in others
        if not name.startswith(("mixed", "multinomial", "normal, full", "normal, low"))
    )


@pytest.mark.parametrize("name", [name for name in CASES if "sized" in name])
@pytest.mark.parametrize("size", [0.3, 2.0])
def test_counts_have_mass_one_given_each_size_factor(name, size):
    p = family(name)(outputs(family(name)))
    values = torch.arange(64, dtype=torch.float64)
    counts = torch.cartesian_prod(values, values, values)
    rows = torch.cat(
        [counts, torch.full((len(counts), 1), size, dtype=torch.float64)], -1
    )
    assert float(p.log_prob(rows).exp().sum().detach()) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", ["multinomial", "multinomial, total"])
@pytest.mark.parametrize("total", [0, 1, 7])
def test_rows_with_one_total_have_mass_one(name, total):
    p = family(name)(outputs(family(name)))
    rows = [x for x in itertools.product(range(total + 1), repeat=3) if sum(x) == total]
    assert float(
        p.log_prob(torch.tensor(rows, dtype=torch.float64)).exp().sum().detach()
    ) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ON_A_LINE)
def test_draws_have_the_mean_and_the_variance_of_the_density(name):
    torch.manual_seed(1)
    p = family(name)(outputs(family(name), seed=3))
    drawn = p.sample((DRAWS,))
    centred = (drawn - p.mean).square()
    assert_mean_is(drawn, p.mean)
    assert_mean_is(centred, p.variance)


def assert_mean_is(draws: torch.Tensor, expected: torch.Tensor) -> None:
    """The mean of draws is within SIGMAS standard errors of what it should be."""
    error = draws.std(0) / math.sqrt(len(draws))
    off = (draws.mean(0) - expected).abs() - SIGMAS * error
    assert (off <= 1e-9).all(), f"{draws.mean(0)} is not {expected} ± {error}"


@pytest.mark.parametrize("name", ON_A_LINE)
def test_draws_of_a_batch_have_the_mean_of_each_element(name):
    torch.manual_seed(2)
    model = vae(name)
    p = model.likelihood(torch.randn(3, 2, dtype=torch.float64))
    assert_mean_is(p.sample((5000,)).detach(), p.mean.detach())
