"""Ordered categories against other libraries, simulation and arithmetic with many digits."""

import itertools

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import nn

from pyro_vae import VAE, class_probabilities, evidence, fit, reconstruct
from pyro_vae.data import statistics
from pyro_vae.likelihoods.ordinal import CumulativeLogit
from tests.likelihoods.families import CASES, build, family, vae

FAR = (-1e4, -300.0, -20.0, -1.0, 0.0, 0.3, 5.0, 90.0, 1e4)


def grade(loc, first, steps, dtype=torch.float64):
    """One ordered category, or a batch of them with the same cutpoints."""
    numbers = [torch.as_tensor(number, dtype=dtype) for number in (loc, first, steps)]
    return CumulativeLogit(*numbers)


def all_categories(p):
    """log p of each category, (K, ...)."""
    numbers = torch.arange(p.num_classes, dtype=p.loc.dtype)
    return p.log_prob(numbers.reshape(-1, *(1 for _ in p.batch_shape)))


# The density


@pytest.mark.parametrize("steps", [[], [2.0], [0.5, 1e-6, 30.0], [1e-3] * 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_categories_have_mass_one(steps, dtype):
    p = grade(FAR, -0.7, steps, dtype)
    total = torch.logsumexp(all_categories(p).double(), 0)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(
        total, torch.zeros(len(FAR)).double(), rtol=0, atol=tolerance
    )


def exact_log_probs(loc, first, steps):
    """log(σ(c_k - loc) - σ(c_{k - 1} - loc)) with enough digits for the differences."""
    mp = pytest.importorskip("mpmath")
    with mp.workdps(100 + round(abs(loc) / 2)):
        cutpoints = [mp.mpf(first)]
        for step in steps:
            cutpoints.append(cutpoints[-1] + mp.mpf(step))
        below = [1 / (1 + mp.exp(mp.mpf(loc) - c)) for c in cutpoints]
        up_to = [mp.mpf(0), *below, mp.mpf(1)]
        pairs = itertools.pairwise(up_to)
        return [float(mp.log(upper - lower)) for lower, upper in pairs]


@pytest.mark.parametrize("step", [1e-7, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("loc", FAR)
def test_float32_is_as_exact_as_the_logarithm_itself(loc, step):
    """As the difference of two σ it would be log 0 wherever loc is far out or a step is small."""
    p = grade(loc, -0.7, [step, 0.3 * step], torch.float32)
    exact = exact_log_probs(float(p.loc), float(p.first), p.steps.tolist())
    found = all_categories(p).double().numpy()
    error = np.abs(found - exact) / np.maximum(1, np.abs(exact))
    assert error.max() < 1e-6


def test_two_categories_are_a_bit():
    """P(x = 1) = σ(η - c)."""
    loc = torch.linspace(-40, 40, 81, dtype=torch.float64)
    p = grade(loc, 0.7, [])
    bit = dist.Bernoulli(logits=loc - 0.7)
    for x in (0.0, 1.0):
        x = torch.tensor(x, dtype=torch.float64)
        torch.testing.assert_close(p.log_prob(x), bit.log_prob(x), rtol=0, atol=1e-13)
    torch.testing.assert_close(p.mean, bit.mean)
    torch.testing.assert_close(p.variance, bit.variance)


def test_the_reverse_order_has_minus_the_cutpoints():
    """P(K - 1 - x | -η, -c reversed) = P(x | η, c): no end of the scale is special."""
    steps = torch.tensor([0.2, 3.0, 1e-5], dtype=torch.float64)
    p = grade(FAR, -1.0, steps)
    backwards = grade([-loc for loc in FAR], -p.cutpoints[-1], steps.flip(0))
    torch.testing.assert_close(
        all_categories(backwards).flip(0), all_categories(p), rtol=1e-10, atol=1e-12
    )


def test_rows_have_the_likelihood_of_statsmodels():
    ordered = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    random = np.random.default_rng(0)
    exog = random.normal(size=(300, 2))
    x = random.integers(0, 4, 300)
    weights = np.array([0.8, -0.5])
    increments = np.array([0.3, -1.2])
    model = ordered.OrderedModel(x, exog, distr="logit")
    theirs = model.loglikeobs(np.concatenate([weights, [-1.0], increments]))
    p = grade(exog @ weights, -1.0, np.exp(increments))
    ours = p.log_prob(torch.as_tensor(x).double())
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("loc", [-1e4, -30.0, 0.0, 1.0, 30.0, 1e4])
def test_gradients_are_those_of_float64_and_finite(loc):
    """The gradient in η is 1 - σ(upper) - σ(lower); that in the steps doesn't overflow."""
    gradients = []
    for dtype in (torch.float32, torch.float64):
        arguments = [
            torch.full((4,), loc, dtype=dtype),
            torch.tensor(-0.5, dtype=dtype),
            torch.tensor([1e-6, 60.0], dtype=dtype),
        ]
        for argument in arguments:
            argument.requires_grad_()
        p = CumulativeLogit(*arguments)
        p.log_prob(torch.arange(4, dtype=dtype)).sum().backward()
        gradients.append([argument.grad.double() for argument in arguments])
    for narrow, wide in zip(*gradients, strict=True):
        assert wide.isfinite().all()
        torch.testing.assert_close(narrow, wide, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_differences():
    arguments = (
        torch.randn(2, 3, dtype=torch.float64),
        torch.randn(3, dtype=torch.float64),
        torch.rand(3, 2, dtype=torch.float64) + 0.1,
    )
    x = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0]]).double()
    assert torch.autograd.gradcheck(
        lambda *numbers: CumulativeLogit(*numbers).log_prob(x),
        [argument.requires_grad_() for argument in arguments],
    )


# Draws and moments


@pytest.mark.parametrize("loc", [-3.0, 0.0, 0.4, 6.0])
def test_draws_have_the_frequencies(loc):
    torch.manual_seed(0)
    p = grade(loc, -1.0, [1.5, 0.2, 2.0])
    drawn = p.sample((50_000,))
    counts = [(drawn == k).sum().item() for k in range(5)]
    expected = 50_000 * p.probs.numpy()
    enough = expected > 5
    statistic = (np.square(counts - expected) / expected)[enough].sum()
    assert stats.chi2.sf(statistic, enough.sum() - 1) > 1e-3


def test_moments_are_those_of_the_probabilities():
    p = grade(torch.linspace(-50, 50, 41), -1.0, [1.5, 0.2, 2.0])
    numbers = torch.arange(5).double()
    mean = p.probs @ numbers
    torch.testing.assert_close(p.mean, mean, rtol=1e-12, atol=1e-12)
    variance = (p.probs * (numbers - mean.unsqueeze(-1)).square()).sum(-1)
    torch.testing.assert_close(p.variance, variance, rtol=1e-9, atol=1e-12)
    assert (p.variance >= 0).all()


def test_the_representative_is_the_category_nearest_to_all():
    """It has the smallest E|x - k|, and rises with η; both ends are reached."""
    loc = torch.linspace(-6, 6, 999, dtype=torch.float64) + 0.001
    p = grade(loc, -1.0, [0.1, 0.2, 2.0])
    numbers = torch.arange(5).double()
    distance = (numbers.unsqueeze(-1) - numbers).abs()
    nearest = (p.probs @ distance).argmin(-1)
    assert torch.equal(p.median, nearest.double())
    assert (p.median.diff() >= 0).all()
    assert set(p.median.tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


# The family


def test_it_starts_at_the_shares_of_the_rows():
    rows = CASES["ordinal"].rows
    built = family("ordinal")
    counts = torch.stack([(rows == k).double().sum(0) for k in range(4)], -1)
    shares = (counts + 0.5) / (len(rows) + 0.5 * 4)
    for row in (built(torch.zeros(3).double()), built.independent()):
        torch.testing.assert_close(
            row.base_dist.probs.detach(), shares, rtol=1e-10, atol=0
        )


def test_categories_that_no_row_has_keep_their_digits_in_float32():
    """Ten empty categories in the middle have shares of 5e-5: steps of 2e-4 between cutpoints."""
    rows = torch.tensor([0.0, 11.0]).repeat(5000).reshape(-1, 1).double()
    built = build({"kind": "ordinal", "num_classes": 12}, (1,))
    built.pyro_vae_start(statistics([rows]))
    found = all_categories(built.float()(torch.zeros(1)).base_dist)[1:-1]
    exact = np.log(0.5 / (10_000 + 6))
    np.testing.assert_allclose(found.detach(), exact, rtol=1e-6)


def test_the_cutpoints_stay_in_order_whatever_is_learned():
    built = family("ordinal")
    for value in (-1e3, 1e3):
        nn.init.constant_(built.raw, value)
        cutpoints = built(torch.zeros(3).double()).base_dist.cutpoints
        assert (cutpoints.diff() > 0).all()


@pytest.mark.slow
def test_a_fit_finds_the_cutpoints_of_a_simulated_scale():
    """One latent variable moves six items; the model beats independent columns held out."""
    random = np.random.default_rng(0)
    z = random.normal(size=(1500, 1))
    y = 2.5 * z + random.logistic(size=(1500, 6))
    x = np.digitize(y, [-3.0, -1.0, 2.0]).astype(float)
    likelihood = {"kind": "ordinal", "num_classes": 4}
    model = VAE(data_shape=(6,), latent_dim=1, hidden_dims=(16,), likelihood=likelihood)
    fit(model, x[:1200], epochs=30, lr=0.01, seed=0, validation=None, progress=False)
    held_out = x[1200:]
    rows = torch.as_tensor(held_out).float()
    independent = model.likelihood.independent().log_prob(rows).mean().item()
    found = evidence(model, held_out, num_particles=100).log_marginal.mean()
    assert found > independent + 1
    steps = model.likelihood(torch.zeros(1, 1)).base_dist.steps.detach().mean(0)
    np.testing.assert_allclose(steps, [2.0, 3.0], rtol=0.15)


def test_reconstructions_are_medians_with_the_probabilities_beside_them():
    model = vae("mixed, ordinal")
    rows = CASES["mixed, ordinal"].rows
    found = class_probabilities(model, rows)
    sizes = {column: each.shape[1] for column, each in found.items()}
    assert sizes == {0: 5, 4: 3, 2: 3}
    shown = reconstruct(model, rows)
    for column, each in found.items():
        np.testing.assert_allclose(each.sum(1), 1)
        median = (each.cumsum(1) < 0.5).sum(1)
        np.testing.assert_array_equal(shown[:, column], median)
