"""Counts in float32 against SciPy in float64: within 1e-3 nats, up to 1e7 in 10 000 columns."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae import VAE
from pyro_vae.likelihoods import LIKELIHOODS, counts
from pyro_vae.likelihoods.beta_binomial import BetaBinomialCounts
from pyro_vae.spec import Spec
from pyro_vae.special import log_factorial, log_rising

ROWS = 4


def nbinom(x, mean, dispersion):
    """log p of the negative binomial; SciPy's takes a p that is rounded to 1 for large counts."""
    theta = 1 / dispersion
    rising = (
        special.gammaln(theta + x) - special.gammaln(theta) - special.gammaln(x + 1)
    )
    return (
        rising
        - theta * np.log1p(mean * dispersion)
        - x * np.log1p(1 / (mean * dispersion))
    )


def inflated(log_counts, gate, x):
    zero = np.logaddexp(special.log_expit(gate), special.log_expit(-gate) + log_counts)
    return np.where(x == 0, zero, special.log_expit(-gate) + log_counts)


def multinomial(x, logits):
    orders = special.gammaln(x.sum(-1) + 1) - special.gammaln(x + 1).sum(-1)
    return orders + (x * special.log_softmax(logits, -1)).sum(-1)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def poissons(size, columns):
    rate = size * (0.3 * noise(ROWS, columns)).exp()
    return counts.Poisson(rate).to_event(1), lambda x: stats.poisson.logpmf(
        x, wide(rate)
    ).sum(-1)


def binomials(size, columns):
    logits = 0.5 * noise(ROWS, columns)
    n = 4 * size
    row = counts.Binomial(torch.tensor(n), logits).to_event(1)
    return row, lambda x: stats.binom.logpmf(x, n, special.expit(wide(logits))).sum(-1)


def negative_binomials(size, columns):
    mean = size * (0.3 * noise(ROWS, columns)).exp()
    dispersion = (noise(columns, seed=1) - 3).exp()
    row = counts.NegativeBinomial(mean, dispersion).to_event(1)
    return row, lambda x: nbinom(x, wide(mean), wide(dispersion)).sum(-1)


def multinomials(size, columns):
    logits = noise(ROWS, columns)
    row = counts.Multinomial(torch.tensor(float(round(size * columns))), logits)
    return row, lambda x: multinomial(x, wide(logits))


def inflated_poissons(size, columns):
    rate = size * (0.3 * noise(ROWS, columns)).exp()
    gate = noise(ROWS, columns, seed=1)
    row = counts.ZeroInflated(counts.Poisson(rate), gate).to_event(1)
    return row, lambda x: inflated(
        stats.poisson.logpmf(x, wide(rate)), wide(gate), x
    ).sum(-1)


def inflated_negative_binomials(size, columns):
    mean = size * (0.3 * noise(ROWS, columns)).exp()
    dispersion = torch.tensor(0.5)
    gate = torch.full((ROWS, columns), -2.3)
    row = counts.ZeroInflated(counts.NegativeBinomial(mean, dispersion), gate).to_event(
        1
    )
    return row, lambda x: inflated(nbinom(x, wide(mean), 0.5), wide(gate), x).sum(-1)


def wide(tensor):
    return tensor.double().numpy()


def beta_binomials(size, columns):
    (a, b), n = (noise(2, ROWS, columns)).exp(), torch.tensor(4 * size)
    row = BetaBinomialCounts(n, 3 * a, 7 * b).to_event(1)
    return row, lambda x: betabinom(x, 4 * size, wide(3 * a), wide(7 * b)).sum(-1)


def betabinom(x, n, a, b):
    """log p of the beta-binomial; SciPy's own is off by its log-beta functions where n is large."""
    return (
        special.betaln(x + a, n - x + b)
        - special.betaln(a, b)
        - special.betaln(x + 1, n - x + 1)
        - np.log1p(n)
    )


KINDS = [
    beta_binomials,
    poissons,
    binomials,
    negative_binomials,
    multinomials,
    inflated_poissons,
    inflated_negative_binomials,
]
every_kind = pytest.mark.parametrize("make", KINDS)


def assert_exact(make, size, columns):
    row, oracle = make(size, columns)
    torch.manual_seed(0)
    x = (
        torch.poisson(torch.full((ROWS, columns), size))
        if make is multinomials
        else row.sample()
    )
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            found = row.log_prob(x)
        np.testing.assert_allclose(found.numpy(), oracle(wide(x)), rtol=0, atol=1e-3)


@every_kind
@pytest.mark.parametrize(
    ("size", "columns"), [(0.5, 784), (30.0, 784), (2e4, 1000), (1e6, 1000)]
)
def test_rows_of_counts_are_those_of_scipy(make, size, columns):
    assert_exact(make, size, columns)


@pytest.mark.slow
@every_kind
def test_rows_of_many_and_large_counts_are_those_of_scipy(make):
    assert_exact(
        make, 4e6, 10_000
    )  # four deviations below 2^24, up to which float32 holds each count


@pytest.mark.parametrize("value", [0.0, 1.0, 7.0, 1000.0, 1_000_000.0])
def test_rounding_does_not_add_up_over_equal_columns(value):
    """The fault was a bias: the error of log x! in float32 is the same for each equal count."""
    rate = torch.full((10_000,), value + 0.5)
    found = counts.Poisson(rate).to_event(1).log_prob(torch.full_like(rate, value))
    assert float(found) == pytest.approx(
        1e4 * stats.poisson.logpmf(value, float(rate[0])), abs=1e-3
    )


SIZED = [
    ("poisson", {}),
    ("negative_binomial", {"dispersion": 0.25}),
    ("zero_inflated_poisson", {}),
]


@pytest.mark.parametrize(("kind", "options"), SIZED)
def test_rows_with_a_size_factor_are_those_of_scipy(kind, options):
    columns = 500
    size = torch.tensor([[0.5], [1.0], [2.0], [7.0]])
    described = {"kind": kind, "size_factor": "column", **options}
    family = LIKELIHOODS.build(
        Spec(data_shape=(columns + 1,), likelihood=described).likelihood, (columns + 1,)
    )
    row = family(0.3 * noise(ROWS, *family.param_shape))
    with torch.no_grad():
        x = torch.poisson(1e5 * size.expand(-1, columns))
        each = row.counts(1e5 * size)
        rate = wide(
            each.mean
            if kind == "negative_binomial"
            else getattr(each, "counts", each).rate
        )
        found = row.log_prob(torch.cat([x, 1e5 * size], -1))
    x = wide(x)
    oracle = (
        nbinom(x, rate, 0.25)
        if kind == "negative_binomial"
        else stats.poisson.logpmf(x, rate)
    )
    if kind == "zero_inflated_poisson":
        oracle = inflated(oracle, wide(each.gate_logits), x)
    np.testing.assert_allclose(found.numpy(), oracle.sum(-1), rtol=0, atol=1e-3)


def test_counts_beside_other_columns_are_those_of_scipy():
    groups = [
        {"columns": "0:1000", "kind": "binomial", "total_count": 65_535},
        {"columns": 1000, "kind": "normal"},
    ]
    model = VAE(
        data_shape=(1001,),
        latent_dim=2,
        likelihood={"kind": "mixed", "columns": groups},
    )
    z = noise(ROWS, 2)
    x = torch.cat([torch.full((ROWS, 1000), 30_000.0), torch.zeros(ROWS, 1)], -1)
    with torch.no_grad():
        row = model.likelihood(z)
        found = row.log_prob(x).numpy()
        logits = wide(row.parts[0].base_dist.logits)
        normal = wide(row.parts[1].log_prob(x[:, 1000:]))
    expected = (
        stats.binom.logpmf(30_000, 65_535, special.expit(logits)).sum(-1) + normal
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.slow
@every_kind
@pytest.mark.parametrize("size", [0.5, 300.0])
def test_gradients_are_those_of_the_value(make, size):
    """Value and gradient come from two formulas, so they are compared by differences."""
    torch.set_default_dtype(torch.float64)
    try:
        row, _ = make(size, 5)
    finally:
        torch.set_default_dtype(torch.float32)
    base = getattr(row, "base_dist", row)
    torch.manual_seed(0)
    x = row.sample()
    parameters = [
        parameter.double().requires_grad_() for parameter in base.parameters()
    ]
    assert torch.autograd.gradcheck(
        lambda *p: with_parameters(make, p).log_prob(x), parameters
    )
    assert torch.autograd.gradgradcheck(
        lambda *p: with_parameters(make, p).log_prob(x), parameters
    )


def with_parameters(make, parameters):
    """The distribution of a kind with these parameters."""
    if make is beta_binomials:
        return BetaBinomialCounts(torch.tensor(1200.0).double(), *parameters)
    if make is poissons:
        return counts.Poisson(*parameters)
    if make is binomials:
        return counts.Binomial(torch.tensor(1200.0).double(), *parameters)
    if make is negative_binomials:
        return counts.NegativeBinomial(*parameters)
    if make is multinomials:
        return counts.Multinomial(torch.tensor(1.0), *parameters)
    gate, *rest = parameters
    return counts.ZeroInflated(
        (counts.Poisson if len(rest) == 1 else counts.NegativeBinomial)(*rest), gate
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_factorial_and_the_rising_factorial(dtype):
    n = torch.tensor([0, 1, 2, 3, 5, 10, 100, 10_000, 16_777_216], dtype=dtype)
    tolerance = {"rtol": 1e-14, "atol": 2e-9 if dtype == torch.float32 else 1e-12}
    np.testing.assert_allclose(
        log_factorial(n).numpy(), special.gammaln(wide(n) + 1), **tolerance
    )
    for theta in (1e-4, 0.3, 1.0, 7.0, 1e3, 1e6):
        exact = np.log(theta + np.arange(300)).sum()
        found = float(
            log_rising(
                torch.tensor(theta, dtype=torch.float64),
                torch.tensor(300.0, dtype=torch.float64),
            )
        )
        assert found == pytest.approx(exact, abs=1e-9)


@every_kind
def test_many_draws_of_each_row_are_cut_and_come_out_the_same(make):
    """So many numbers that they are looked at in parts; one by one they are not."""
    row, _ = make(30.0, 100)
    base = getattr(row, "base_dist", row)
    torch.manual_seed(0)
    x = row.sample()
    parameters = [
        p + 0.1 * torch.rand(300, *p.shape) if p.ndim == 2 else p
        for p in base.parameters()
    ]
    several = rebuilt(make, base, parameters)
    with torch.no_grad():
        each = [
            rebuilt(
                make, base, [p[i] if p.ndim == 3 else p for p in parameters]
            ).log_prob(x)
            for i in (0, 150, 299)
        ]
        assert len(getattr(several, "base_dist", several)._parts(2)) > 1
        torch.testing.assert_close(
            several.log_prob(x)[[0, 150, 299]], torch.stack(each), rtol=1e-12, atol=1e-9
        )


def rebuilt(make, base, parameters):
    """The rows of a kind with other parameters."""
    if make is multinomials:
        return counts.Multinomial(base.total, *parameters)
    if make is binomials:
        return counts.Binomial(base.total_count, *parameters).to_event(1)
    return with_parameters(make, parameters).to_event(1)
