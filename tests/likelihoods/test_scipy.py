"""log p(x | z) against SciPy, from the outputs of a decoder by the formula of each docstring."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae.likelihoods.counts import NegativeBinomial
from tests.likelihoods.families import CASES, build, family, outputs

Oracle = Callable[..., np.ndarray]
n = 9


def factor(raw: np.ndarray) -> np.ndarray:
    return 1e-4 + np.logaddexp(0, raw + np.log(np.expm1(1 - 1e-4)))


def nbinom(x: np.ndarray, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    return stats.nbinom.logpmf(x, 1 / dispersion, 1 / (1 + dispersion * mean))


def inflated(x: np.ndarray, gate: np.ndarray, log_counts: np.ndarray) -> np.ndarray:
    return np.log(
        special.expit(gate) * (x == 0) + special.expit(-gate) * np.exp(log_counts)
    )


def logistic_bins(
    x: np.ndarray, loc: np.ndarray, scale: np.ndarray, levels: int
) -> np.ndarray:
    above = np.where(x == levels - 1, 1.0, special.expit((x + 0.5 - loc) / scale))
    below = np.where(x == 0, 0.0, special.expit((x - 0.5 - loc) / scale))
    return above - below


def ordered(x: np.ndarray, loc: np.ndarray, cutpoints: np.ndarray) -> np.ndarray:
    ends = np.concatenate([[-np.inf], cutpoints, [np.inf]])
    k = x.astype(int)
    return special.expit(ends[k + 1] - loc) - special.expit(ends[k] - loc)


def mixture_of_bins(
    x: np.ndarray, raw: np.ndarray, levels: int, mixtures: int, mean: float, std: float
) -> np.ndarray:
    raw = raw.reshape(n, -1, mixtures, *x.shape[1:])
    places = np.linspace(-1, 1, mixtures).reshape(-1, 1)
    loc = mean + std * (places + raw[:, 0])
    scale = std * np.sqrt(3) / np.pi * factor(raw[:, 1])
    return np.log(
        (
            special.softmax(raw[:, 2], 1)
            * logistic_bins(x[:, None], loc, scale, levels)
        ).sum(1)
    )


REAL, IMAGE, POSITIVE, UNIT, COUNTS, SIZED, CLASSES, WORDS, LADDER = (
    CASES[name].rows[:n].numpy()
    for name in (
        *("normal", "laplace, decoder", "gamma", "beta", "poisson", "poisson, sized"),
        *("categorical", "multinomial", "discretized_logistic, mixture"),
    )
)
# Options, rows and log p(x | z) of each feature (of the row for the multinomial) with decoder
# output r. Before a family has seen data its mean is 0 or 1, and its spread is 1.
ORACLES: dict[str, tuple[dict, np.ndarray, Oracle]] = {
    "laplace": ({"scale": 0.7}, REAL, lambda x, r: stats.laplace.logpdf(x, r, 0.7)),
    "laplace ": (
        {"scale": "decoder"},
        IMAGE,
        lambda x, r: stats.laplace.logpdf(x, r[:, 0], factor(r[:, 1]) / np.sqrt(2)),
    ),
    "student_t": (
        {"df": 4, "scale": 1.5},
        REAL,
        lambda x, r: stats.t.logpdf(x, 4, r, 1.5),
    ),
    "student_t ": (
        {"df": "decoder", "scale": "decoder"},
        REAL,
        lambda x, r: stats.t.logpdf(
            x, 1 + 4 * factor(r[:, 2]), r[:, 0], factor(r[:, 1])
        ),
    ),
    "log_normal": (
        {"scale": "decoder"},
        POSITIVE,
        lambda x, r: stats.lognorm.logpdf(x, factor(r[:, 1]), scale=np.exp(r[:, 0])),
    ),
    "gamma": (
        {"concentration": "decoder"},
        POSITIVE,
        lambda x, r: stats.gamma.logpdf(
            x, factor(r[:, 1]), scale=factor(r[:, 0]) / factor(r[:, 1])
        ),
    ),
    "beta": (
        {"concentration": 3.0},
        UNIT,
        lambda x, r: stats.beta.logpdf(
            x, 1e-4 + 3 * special.expit(r), 1e-4 + 3 * special.expit(-r)
        ),
    ),
    "beta_binomial": (
        {"total_count": 6, "concentration": "decoder"},
        CASES["beta_binomial"].rows[:n].numpy(),
        lambda x, r: stats.betabinom.logpmf(
            x,
            6,
            *(
                1e-4 + 2 * factor(r[:, 1]) * special.expit(sign * r[:, 0])
                for sign in (1, -1)
            ),
        ),
    ),
    "beta_binomial ": (
        {"total_count": 6, "concentration": 1e6},
        CASES["beta_binomial"].rows[:n].numpy(),
        lambda x, r: stats.betabinom.logpmf(
            x, 6, 1e-4 + 1e6 * special.expit(r), 1e-4 + 1e6 * special.expit(-r)
        ),
    ),
    "poisson": ({}, COUNTS, lambda x, r: stats.poisson.logpmf(x, factor(r))),
    "poisson ": (
        {"size_factor": "column"},
        SIZED,
        lambda x, r: stats.poisson.logpmf(x[:, :3], x[:, 3:] * factor(r)),
    ),
    "negative_binomial": (
        {"dispersion": "decoder"},
        COUNTS,
        lambda x, r: nbinom(x, factor(r[:, 0]), factor(r[:, 1])),
    ),
    "negative_binomial ": (
        {"dispersion": 0.4, "size_factor": "column"},
        SIZED,
        lambda x, r: nbinom(x[:, :3], x[:, 3:] * factor(r), 0.4),
    ),
    "zero_inflated_poisson": (
        {},
        COUNTS,
        lambda x, r: inflated(x, r[:, 1], stats.poisson.logpmf(x, factor(r[:, 0]))),
    ),
    "zero_inflated_negative_binomial": (
        {"dispersion": "decoder", "size_factor": "column"},
        SIZED,
        lambda x, r: inflated(
            x[:, :3],
            np.log(0.1) + r[:, 1],
            nbinom(x[:, :3], x[:, 3:] * factor(r[:, 0]), factor(r[:, 2])),
        ),
    ),
    "categorical": (
        {"num_classes": 4},
        CLASSES,
        lambda x, r: np.take_along_axis(
            special.log_softmax(r, 1), x[:, None].astype(int), 1
        ),
    ),
    "ordinal": (  # before it has seen data, all categories have equal shares at r = 0
        {"num_classes": 4},
        CLASSES,
        lambda x, r: np.log(ordered(x, r, special.logit([0.25, 0.5, 0.75]))),
    ),
    "multinomial": (
        {},
        WORDS,
        lambda x, r: stats.multinomial.logpmf(x, x.sum(1), special.softmax(r, 1)),
    ),
    "discretized_logistic": (
        {"levels": 16, "scale": 0.8},
        LADDER,
        lambda x, r: np.log(logistic_bins(x, 7.5 + 4 * r, 0.8, 16)),
    ),
    "discretized_logistic ": (
        {"levels": 16, "mixtures": 3},
        LADDER,
        lambda x, r: mixture_of_bins(x, r, 16, 3, 7.5, 4.0),
    ),
    "distribution": (
        {"name": "Gumbel"},
        REAL,
        lambda x, r: stats.gumbel_r.logpdf(x, r[:, 0], factor(r[:, 1])),
    ),
    "distribution ": (
        {"name": "Weibull", "fixed": {"concentration": 1.5}},
        POSITIVE,
        lambda x, r: stats.weibull_min.logpdf(x, 1.5, scale=factor(r)),
    ),
    "distribution  ": (
        {"name": "VonMises"},
        CASES["distribution, VonMises"].rows[:n].numpy(),
        lambda x, r: stats.vonmises.logpdf(x, factor(r[:, 1]), r[:, 0]),
    ),
}


@pytest.mark.parametrize("kind", ORACLES)
def test_log_prob_is_that_of_scipy(kind):
    options, x, oracle = ORACLES[kind]
    built = build({"kind": kind.strip(), **options}, x.shape[1:])
    raw = outputs(built, n, seed=4, size=1.0)
    expected = oracle(x, raw.numpy()).reshape(n, -1).sum(1)
    got = built(raw).log_prob(torch.as_tensor(x)).detach()
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_the_multinomial_is_the_row_of_poissons_given_its_total():
    """∏ Poisson(xᵢ | rᵢ) / Poisson(n | Σ rᵢ) is the multinomial with shares rᵢ / Σ r."""
    rates = np.array([1.0, 2.0, 4.0])
    x = np.array([2, 0, 5])
    joint = stats.poisson.logpmf(x, rates).sum() - stats.poisson.logpmf(
        x.sum(), rates.sum()
    )
    row = build({"kind": "multinomial"}, (3,))(torch.as_tensor(np.log(rates)))
    assert float(row.log_prob(torch.as_tensor(x).double())) == pytest.approx(
        joint, abs=1e-9
    )


@pytest.mark.parametrize(
    ("dtype", "precision"), [(torch.float64, 1e-12), (torch.float32, 2.4e-7)]
)
@pytest.mark.parametrize("theta", [1e-2, 1.0, 29.0, 31.0, 1e3, 1e6])
@pytest.mark.parametrize("count", [0, 1, 30, 300, 10_000])
def test_the_negative_binomial_is_as_exact_as_the_numbers_allow(
    theta, count, dtype, precision
):
    """torch's is 0.8 nats off at θ = 1e6 in float32; this error is that of the term x log θ."""
    mean, dispersion, x = torch.tensor(
        [max(count, 1) / 1.1, 1 / theta, count], dtype=dtype
    )
    theta = 1 / float(dispersion)
    rising = np.log(
        theta + np.arange(count)
    ).sum()  # log Γ(θ + x) - log Γ(θ), without cancellation
    expected = rising - special.gammaln(count + 1.0)
    expected -= theta * np.log1p(float(mean) / theta) + count * np.log1p(
        theta / float(mean)
    )
    got = float(NegativeBinomial(mean, dispersion).log_prob(x))
    largest = 100 + count * (1 + np.log(1 + theta + count))
    assert got == pytest.approx(expected, abs=precision * largest)


def test_dispersion_zero_is_the_poisson():
    counts = torch.arange(50.0, dtype=torch.float64).unsqueeze(-1)
    narrow = build({"kind": "negative_binomial", "dispersion": 1e-9}, (1,))(
        torch.zeros(1).double()
    )
    poisson = build({"kind": "poisson"}, (1,))(torch.zeros(1).double())
    torch.testing.assert_close(
        narrow.log_prob(counts), poisson.log_prob(counts), rtol=1e-5, atol=1e-5
    )


def test_a_closed_gate_is_the_plain_likelihood():
    counts = torch.arange(20.0, dtype=torch.float64).unsqueeze(-1)
    closed = build({"kind": "zero_inflated_poisson"}, (1,))(
        torch.tensor([[0.5], [-60.0]]).double()
    )
    plain = build({"kind": "poisson"}, (1,))(torch.tensor([0.5]).double())
    torch.testing.assert_close(closed.log_prob(counts), plain.log_prob(counts))


def test_one_component_twice_is_one_component():
    one = build({"kind": "discretized_logistic", "levels": 16, "scale": 2.0}, (3,))
    two = build(
        {"kind": "discretized_logistic", "levels": 16, "scale": 2.0, "mixtures": 2},
        (3,),
    )
    two.offsets.zero_()
    raw = outputs(one, 5)
    both = torch.stack([raw, raw, torch.zeros_like(raw), torch.zeros_like(raw)], 1)
    rows = CASES["discretized_logistic, mixture"].rows[:5]
    torch.testing.assert_close(two(both).log_prob(rows), one(raw).log_prob(rows))


def test_gamma_with_concentration_one_is_the_exponential():
    row = build({"kind": "gamma", "concentration": 1.0}, (3,))(torch.zeros(3).double())
    np.testing.assert_allclose(
        row.base_dist.log_prob(torch.as_tensor(POSITIVE)), stats.expon.logpdf(POSITIVE)
    )


def test_a_large_df_is_the_normal():
    t = build({"kind": "student_t", "df": 1e7, "scale": 2.0}, (3,))(
        torch.zeros(3).double()
    )
    np.testing.assert_allclose(
        t.base_dist.log_prob(torch.as_tensor(REAL)), stats.norm.logpdf(REAL, 0, 2), 1e-4
    )


def test_the_family_of_a_case_is_not_shared():
    family("poisson").mean.fill_(-1)
    assert (family("poisson").mean > 0).all()
