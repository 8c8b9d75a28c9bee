"""Any distribution by its name."""

import math

import pytest
import torch
from scipy import stats

from pyro_vae.data import statistics
from pyro_vae.likelihoods.distribution import CLASSES
from tests.likelihoods.families import build, outputs

# Every univariate distribution of Pyro 1.9 and torch that needs nothing fixed, with some values it
# may take.
VALUES = {
    (0.0, 1.0): ("Bernoulli",),
    (0.2, 0.6): ("Beta", "Kumaraswamy", "ContinuousBernoulli"),
    (-1.0, 4.0, 2.5): (
        "Cauchy",
        "Gumbel",
        "Laplace",
        "Normal",
        "StudentT",
        "Logistic",
        "SoftLaplace",
    ),
    (-1.0, 4.0, 2.0): ("AsymmetricLaplace", "SoftAsymmetricLaplace"),
    (0.3, 2.0): (
        "Chi2",
        "Exponential",
        "FisherSnedecor",
        "Gamma",
        "HalfCauchy",
        "HalfNormal",
    ),
    (0.3, 2.1): ("InverseGamma", "LogNormal", "Weibull"),
    (0.0, 3.0, 1.0): ("Geometric", "NegativeBinomial", "Poisson", "GammaPoisson"),
    (0.0, 4.0, 1.0): ("ZeroInflatedPoisson", "ZeroInflatedNegativeBinomial"),
    (-3.0, 1.0): ("VonMises",),
}
WORKING = {name: values for values, names in VALUES.items() for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKING)
def test_every_univariate_distribution_works(name):
    rows = torch.tensor(WORKING[name], dtype=torch.float64).reshape(-1, 1)
    built = build({"kind": "distribution", "name": name}, (1,))
    assert built.support.check(rows).all()
    built.pyro_vae_start(statistics([rows]))
    raw = outputs(built, len(rows)).requires_grad_()
    density = built(raw).log_prob(rows)
    assert density.shape == (len(rows),)
    assert density.isfinite().all()
    (gradient,) = torch.autograd.grad(density.sum(), raw)
    assert (
        gradient.isfinite().all() or name == "SoftAsymmetricLaplace"
    )  # Pyro's own, far in the tail
    assert built(raw).sample().shape == rows.shape


def test_names_are_those_of_pyro():
    assert set(WORKING) <= set(CLASSES)
    assert {"Uniform", "Categorical", "Delta"} <= set(CLASSES)


@pytest.mark.parametrize(
    ("name", "scipy_name", "rows"),
    [
        ("Gumbel", "gumbel_r", stats.gumbel_r(300, 40)),
        ("Logistic", "logistic", stats.logistic(-0.02, 0.001)),
        ("Weibull", "weibull_min", stats.weibull_min(1.7, scale=900)),
        ("LogNormal", "lognorm", stats.lognorm(0.8, scale=20)),
        ("Gamma", "gamma", stats.gamma(3.0, scale=0.05)),
    ],
)
def test_the_outputs_start_at_the_largest_likelihood(name, scipy_name, rows):
    x = torch.as_tensor(rows.rvs((300, 1), random_state=0))
    built = build({"kind": "distribution", "name": name}, (1,))
    built.pyro_vae_start(statistics([x]))
    got = float(built(torch.zeros(built.param_shape).double()).log_prob(x).mean())
    family = getattr(stats, scipy_name)
    options = {"floc": 0} if name in {"Weibull", "LogNormal", "Gamma"} else {}
    best = float(
        family.logpdf(x.numpy(), *family.fit(x.numpy().ravel(), **options)).mean()
    )
    assert best - 1e-3 < got < best + 1e-6


def test_features_start_each_on_their_own():
    x = torch.as_tensor(
        stats.weibull_min(1.7).rvs((300, 2), random_state=0)
    ) * torch.tensor([1.0, 1000.0])
    built = build({"kind": "distribution", "name": "Weibull"}, (2,))
    built.pyro_vae_start(statistics([x]))
    mean = built(torch.zeros(built.param_shape).double()).mean
    torch.testing.assert_close(mean, x.mean(0), rtol=0.05, atol=0)


def test_log_odds_are_preferred_and_fixed_numbers_are_kept():
    built = build(
        {
            "kind": "distribution",
            "name": "NegativeBinomial",
            "fixed": {"total_count": 3},
        },
        (2,),
    )
    assert list(built.maps) == ["logits"]
    p = built(torch.tensor([0.5, -1.0]).double())
    expected = stats.nbinom.logpmf(
        [2, 5], 3, 1 - 1 / (1 + math.e ** torch.tensor([-0.5, 1.0]).double().numpy())
    )
    assert float(p.log_prob(torch.tensor([2.0, 5.0]).double())) == pytest.approx(
        expected.sum()
    )
    other = build(
        {"kind": "distribution", "name": "NegativeBinomial", "fixed": {"probs": 0.3}},
        (2,),
    )
    assert list(other.maps) == ["total_count"]


def test_a_support_that_fixed_numbers_bound_is_static():
    built = build(
        {"kind": "distribution", "name": "Pareto", "fixed": {"scale": 2.0}}, (2,)
    )
    assert str(built.support) == "GreaterThanEq(lower_bound=2.0)"
    counts = build(
        {"kind": "distribution", "name": "BetaBinomial", "fixed": {"total_count": 4}},
        (2,),
    )
    assert counts.support.check(torch.tensor([0.0, 4.0, 5.0, 0.5])).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_angles_are_of_one_period():
    built = build({"kind": "distribution", "name": "VonMises"}, (1,))
    assert built.support.check(torch.tensor([-3.1, 3.1, 3.2])).tolist() == [
        True,
        True,
        False,
    ]
