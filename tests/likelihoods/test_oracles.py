"""Each likelihood against numbers from outside, and where it starts from the training rows."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit
from torch import Tensor, nn

from pyro_vae import VAE
from pyro_vae.data import Statistics, statistics
from pyro_vae.hooks import StartsFromData
from pyro_vae.likelihoods import (
    Bernoulli,
    Binomial,
    ContinuousBernoulli,
    Family,
    Normal,
)
from pyro_vae.likelihoods.base import logit_of_mean

FLOOR = 1e-4  # the smallest scale, in units of the data's spread
rng = np.random.default_rng
every_shape = pytest.mark.parametrize("data_shape", [(6,), (2, 3)])


def started(family: Family, x: np.ndarray) -> Family:
    """The family in float64, started from the rows x."""
    family = family.double()
    family.pyro_vae_start(statistics([torch.tensor(x, dtype=torch.float64)]))
    return family


def log_prob(family: Family, raw: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (
        family(torch.tensor(raw))
        .log_prob(torch.tensor(x, dtype=torch.float64))
        .detach()
        .numpy()
    )


def over_features(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).sum(1)


def softplus(raw: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, raw)


# Densities with all their constants


@every_shape
def test_bernoulli_is_scipys(data_shape: tuple[int, ...]) -> None:
    family = started(Bernoulli(data_shape), rng(1).integers(0, 2, (50, *data_shape)))
    raw = 3 * rng(2).normal(size=(20, *data_shape))
    x = rng(3).integers(0, 2, (20, *data_shape))
    logits = family.offset.numpy() + raw
    np.testing.assert_allclose(
        log_prob(family, raw, x),
        over_features(stats.bernoulli.logpmf(x, expit(logits))),
    )


@every_shape
@pytest.mark.parametrize("total_count", [1, 2, 16, 255])
def test_binomial_is_scipys(data_shape: tuple[int, ...], total_count: int) -> None:
    family = Binomial(data_shape, total_count=total_count)
    family = started(family, rng(1).integers(0, total_count + 1, (50, *data_shape)))
    raw = rng(2).normal(size=(20, *data_shape))
    x = rng(3).integers(0, total_count + 1, (20, *data_shape))
    logits = family.offset.numpy() + raw
    expected = over_features(stats.binom.logpmf(x, total_count, expit(logits)))
    np.testing.assert_allclose(log_prob(family, raw, x), expected, rtol=1e-10)


def test_binomial_with_one_trial_is_bernoulli() -> None:
    raw = rng(0).normal(size=(20, 4))
    x = rng(1).integers(0, 2, (20, 4))
    one = log_prob(Binomial((4,), total_count=1).double(), raw, x)
    np.testing.assert_allclose(
        one, log_prob(Bernoulli((4,)).double(), raw, x), rtol=1e-12
    )


@pytest.mark.parametrize(
    "logit", [-60.0, -20.0, -5.0, -0.3, -1e-3, 1e-3, 0.3, 5.0, 20.0, 60.0]
)
def test_continuous_bernoulli_is_scipys_truncated_exponential(logit: float) -> None:
    """λ^x (1 - λ)^(1 - x) ∝ exp(l x): an exponential of rate |l|, cut at 1, from its mode."""
    p = ContinuousBernoulli((1,))(
        torch.full((1,), logit, dtype=torch.float64)
    ).base_dist
    oracle = stats.truncexpon(abs(logit), scale=1 / abs(logit))
    x = np.linspace(0, 1, 11)
    share = np.linspace(0, 1, 11)
    from_mode = 1 - x if logit > 0 else x
    np.testing.assert_allclose(
        p.log_prob(torch.tensor(x)), oracle.logpdf(from_mode), rtol=1e-9, atol=1e-9
    )
    cdf = oracle.sf(from_mode) if logit > 0 else oracle.cdf(from_mode)
    np.testing.assert_allclose(p.cdf(torch.tensor(x)), cdf, atol=1e-9)
    icdf = 1 - oracle.isf(share) if logit > 0 else oracle.ppf(share)
    np.testing.assert_allclose(p.icdf(torch.tensor(share)), icdf, atol=1e-9)
    mean = 1 - oracle.mean() if logit > 0 else oracle.mean()
    np.testing.assert_allclose(p.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(p.entropy(), oracle.entropy(), rtol=1e-9, atol=1e-9)


@every_shape
def test_continuous_bernoulli_is_its_formula(data_shape: tuple[int, ...]) -> None:
    """C(λ) = 2 artanh(1 - 2 λ) / (1 - 2 λ) (Loaiza-Ganem, Cunningham, 2019, equation 9)."""
    raw = 2 * rng(0).normal(size=(20, *data_shape))
    x = rng(1).uniform(size=(20, *data_shape))
    rate = expit(raw)
    log_c = np.log(2 * np.arctanh(1 - 2 * rate) / (1 - 2 * rate))
    expected = over_features(log_c + x * np.log(rate) + (1 - x) * np.log1p(-rate))
    np.testing.assert_allclose(
        log_prob(ContinuousBernoulli(data_shape), raw, x), expected, rtol=1e-11
    )


@pytest.mark.parametrize("logit", [-12.0, -0.31, -0.29, 0.0, 1e-9, 0.29, 0.31, 12.0])
def test_continuous_bernoulli_is_normalised_by_quadrature(logit: float) -> None:
    def unnormalised(x: float) -> float:
        return math.exp(x * math.log(expit(logit)) + (1 - x) * math.log(expit(-logit)))

    total, _ = quad(unnormalised, 0, 1, epsabs=1e-14, epsrel=1e-13)
    found = log_prob(ContinuousBernoulli((1,)), np.array([[logit]]), np.array([[0.3]]))
    assert found == pytest.approx(math.log(unnormalised(0.3) / total), abs=1e-11)


@pytest.mark.parametrize("size", [-1e-3, 0.25, 3.0, -20.0])
def test_continuous_bernoulli_in_float32_agrees_with_float64(size: float) -> None:
    """Densities and draws; the eleven uniform numbers end before 1, as those of torch.rand do."""
    family = ContinuousBernoulli((11,))
    x = torch.linspace(0, 1, 11)
    share = torch.arange(11) / 11
    found, exact = (
        family(torch.full((11,), size, dtype=dtype)).base_dist
        for dtype in (torch.float32, torch.float64)
    )
    torch.testing.assert_close(
        found.log_prob(x).double(), exact.log_prob(x.double()), rtol=1e-6, atol=2e-6
    )
    torch.testing.assert_close(found.mean.double(), exact.mean, rtol=0, atol=2e-7)
    torch.testing.assert_close(
        found.icdf(share).double(), exact.icdf(share.double()), rtol=1e-6, atol=2e-6
    )


SCALES: list[Any] = ["learned", "per_feature", "decoder", 0.3, 7]
every_scale = pytest.mark.parametrize("scale", SCALES)


def a_normal(scale: Any, data_shape: tuple[int, ...]) -> Normal:
    """With statistics of its own and a scale that was learned."""
    spread = np.linspace(0.5, 3, math.prod(data_shape)).reshape(data_shape)
    family = started(
        Normal(data_shape, scale=scale),
        2 + spread * rng(1).normal(size=(50, *data_shape)),
    )
    for parameter in family.parameters():
        parameter.data.copy_(torch.tensor(rng(2).normal(size=parameter.shape)))
    assert isinstance(family, Normal)
    return family


def loc_and_scale(family: Normal, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In NumPy, from the numbers that the family holds."""
    mean = family.mean.numpy()
    std = family.std.numpy()
    if family.scale.source == "decoder":
        raw, raw_scale = raw[:, 0], raw[:, 1]
        return mean + std * raw, std * (
            FLOOR + softplus(raw_scale + math.log(math.e - 1))
        )
    if isinstance(family.scale.source, str):
        unit = std if family.scale.source == "per_feature" else np.sqrt((std**2).mean())
        return mean + std * raw, unit * (
            FLOOR + softplus(family.scale.raw.detach().numpy())
        )
    return mean + std * raw, np.array(float(family.scale.source))


@every_shape
@every_scale
def test_normal_is_scipys(data_shape: tuple[int, ...], scale: Any) -> None:
    family = a_normal(scale, data_shape)
    raw = rng(3).normal(size=(20, *family.param_shape))
    x = 2 + 3 * rng(4).normal(size=(20, *data_shape))
    expected = over_features(stats.norm.logpdf(x, *loc_and_scale(family, raw)))
    np.testing.assert_allclose(log_prob(family, raw, x), expected, rtol=1e-11)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("size", [1, 6])
def test_normal_is_the_squared_error_with_its_constant(sigma: float, size: int) -> None:
    """log p(x | z) = -D/2 log(2 π σ²) - SSE / (2 σ²)."""
    raw = rng(0).normal(size=(20, size))
    x = rng(1).normal(size=(20, size))
    squared_error = ((x - raw) ** 2).sum(1)
    expected = -size / 2 * math.log(2 * math.pi * sigma**2) - squared_error / (
        2 * sigma**2
    )
    np.testing.assert_allclose(
        log_prob(Normal((size,), scale=sigma).double(), raw, x), expected, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("scale", "shapes"),
    [("learned", [()]), ("per_feature", [(2, 3)]), ("decoder", []), (1, [])],
)
def test_what_normal_learns_by_itself(
    scale: Any, shapes: list[tuple[int, ...]]
) -> None:
    family = Normal((2, 3), scale=scale)
    assert [tuple(p.shape) for p in family.parameters()] == shapes
    assert family.param_shape == ((2, 2, 3) if scale == "decoder" else (2, 3))


# Where the likelihood starts


def the_start(family: Family) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std of p(x | z) while the decoder gives zero."""
    p = family(torch.zeros(family.param_shape, dtype=torch.float64))
    return p.mean.detach().numpy(), p.stddev.detach().numpy()


BITS = (rng(0).uniform(size=(40, 5)) < [0, 0.1, 0.5, 0.9, 1]).astype(float)


def test_bernoulli_starts_at_the_data() -> None:
    """Half a one and half a zero are added; the first column is always 0, the last always 1."""
    mean, _ = the_start(started(Bernoulli((5,)), BITS))
    np.testing.assert_allclose(mean, (BITS.sum(0) + 0.5) / (len(BITS) + 1), rtol=1e-12)
    assert abs(mean - BITS.mean(0)).max() == pytest.approx(0.5 / (len(BITS) + 1))


def test_binomial_starts_at_the_data() -> None:
    counts = rng(1).binomial(8, [0, 0.1, 0.5, 0.9, 1], (40, 5)).astype(float)
    mean, _ = the_start(started(Binomial((5,), total_count=8), counts))
    np.testing.assert_allclose(
        mean, 8 * (counts.sum(0) + 0.5) / (8 * len(counts) + 1), rtol=1e-12
    )
    assert abs(mean - counts.mean(0)).max() == pytest.approx(
        0.5 * 8 / (8 * len(counts) + 1)
    )


COLUMNS = rng(2).normal([-5, 0, 1, 100], [0.1, 1, 3, 20], (60, 4))


@every_scale
def test_normal_starts_at_the_data(scale: Any) -> None:
    mean, std = the_start(started(Normal((4,), scale=scale), COLUMNS))
    np.testing.assert_allclose(mean, COLUMNS.mean(0), rtol=1e-12)
    spread = COLUMNS.std(0)
    root_mean_square = np.sqrt((spread**2).mean())
    starts = {
        "learned": np.full(4, root_mean_square),
        "per_feature": spread,
        "decoder": spread,
    }
    expected = (
        starts[scale] * (1 + FLOOR)
        if isinstance(scale, str)
        else np.full(4, float(scale))
    )
    np.testing.assert_allclose(
        std, expected, rtol=6e-8
    )  # the parameter was made in float32


@every_scale
def test_a_constant_feature_takes_the_spread_of_the_others(scale: Any) -> None:
    x = np.column_stack([COLUMNS[:, 1:3], np.full(60, 7.0)])
    family = started(Normal((3,), scale=scale), x)
    mean, _ = the_start(family)
    spread = x[:, :2].std(0)
    np.testing.assert_allclose(
        family.std, [*spread, np.sqrt((spread**2).mean())], rtol=1e-12
    )
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
    assert np.isfinite(log_prob(family, np.zeros((60, *family.param_shape)), x)).all()


@pytest.mark.parametrize(
    "family",
    [
        Bernoulli((2,)),
        Binomial((2,), total_count=1),
        *(Normal((2,), scale=scale) for scale in SCALES),
    ],
)
def test_rows_that_are_all_alike_break_nothing(family: Family) -> None:
    x = np.tile([0.0, 1.0], (5, 1))
    started(family, x)
    assert all(value.isfinite().all() for value in family.state_dict().values())
    assert np.isfinite(log_prob(family, np.zeros((5, *family.param_shape)), x)).all()
    started(family, x[:1])
    assert np.isfinite(log_prob(family, np.zeros((5, *family.param_shape)), x)).all()


def test_continuous_bernoulli_starts_uniform() -> None:
    family = started(ContinuousBernoulli((4,)), rng(0).uniform(size=(40, 4)))
    np.testing.assert_allclose(the_start(family)[0], 0.5)


def start_from(vae: VAE, data: Statistics) -> VAE:
    for module in vae.modules():
        if isinstance(module, StartsFromData):
            module.pyro_vae_start(data)
    return vae


def a_pair(scale: Any, x: Tensor, stretch: Tensor, **fields: Any) -> tuple[VAE, VAE]:
    """One model for x and its twin for stretch * x + 5, both started from their data."""
    scaled = scale * float(stretch.max()) if not isinstance(scale, str) else scale
    first, twin = (
        VAE(
            data_shape=(x.shape[1],),
            latent_dim=2,
            hidden_dims=(8,),
            likelihood={"kind": "normal", "scale": s},
            **fields,
        ).double()
        for s in (scale, scaled)
    )
    return start_from(first, statistics([x])), start_from(
        twin, statistics([stretch * x + 5])
    )


def assert_same_up_to_the_unit(
    first: VAE, twin: VAE, x: Tensor, stretch: Tensor
) -> None:
    """q(z | x) is the same, and log p(x | z) differs by the Jacobian, the sum of log stretch."""
    other = stretch * x + 5
    z = torch.randn(
        len(x), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    torch.testing.assert_close(
        twin.posterior(other).mean, first.posterior(x).mean, rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        twin.posterior(other).stddev, first.posterior(x).stddev, rtol=1e-10, atol=1e-10
    )
    jacobian = stretch.log().expand(x.shape[1]).sum()
    expected = first.likelihood(z).log_prob(x) - jacobian
    torch.testing.assert_close(
        twin.likelihood(z).log_prob(other), expected, rtol=1e-10, atol=1e-10
    )


@every_scale
@pytest.mark.parametrize("standardize", ["feature", "all"])
@pytest.mark.parametrize("stretch", [1e-3, 3.7, 255.0])
def test_the_unit_of_the_data_does_not_matter(
    scale: Any, standardize: str, stretch: float
) -> None:
    """Also where a feature never varies."""
    x = torch.tensor(np.column_stack([COLUMNS[:, 1:3], np.full(60, 2.0)]))
    unit = torch.tensor(stretch, dtype=torch.float64)
    first, twin = a_pair(scale, x, unit, standardize=standardize)
    assert_same_up_to_the_unit(first, twin, x, unit)


@pytest.mark.parametrize("scale", ["per_feature", "decoder"])
def test_the_unit_of_each_feature_does_not_matter(scale: str) -> None:
    x = torch.tensor(COLUMNS)
    units = torch.tensor([0.01, 1.0, 3.0, 1000.0], dtype=torch.float64)
    assert_same_up_to_the_unit(*a_pair(scale, x, units), x, units)


@pytest.mark.parametrize("rows", [1, 10, 60_000])
def test_logit_of_mean_is_finite_and_symmetric(rows: int) -> None:
    mean = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0], dtype=torch.float64)
    found = logit_of_mean(mean, rows)
    assert found.isfinite().all()
    torch.testing.assert_close(found, -found.flip(0))
    np.testing.assert_allclose(
        expit(found.numpy()), (mean.numpy() * rows + 0.5) / (rows + 1), rtol=1e-12
    )


def test_families_start_without_data_at_zero() -> None:
    """Before `pyro_vae_start` the decoder's numbers are taken as they are."""
    raw = torch.tensor(rng(0).normal(size=(3, 4)))
    mean = Normal((4,), scale=1.0).double()(raw).mean
    torch.testing.assert_close(mean, raw)
    torch.testing.assert_close(Bernoulli((4,)).double()(raw).mean, raw.sigmoid())
    torch.testing.assert_close(
        Binomial((4,), total_count=3).double()(raw).mean, 3 * raw.sigmoid()
    )


def test_what_starts_from_the_data_is_saved() -> None:
    saved = nn.ModuleList(
        [Bernoulli((2,)), Binomial((2,), total_count=2), Normal((2,))]
    ).state_dict()
    assert {"0.offset", "1.offset", "2.mean", "2.std", "2.scale.raw"} == set(saved)
