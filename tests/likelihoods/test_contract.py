"""What every likelihood keeps, such as its event shape data_shape. A new kind adds a case here."""

import math
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.func import functional_call

from pyro_vae import ELBO, VAE
from pyro_vae.data import Statistics, statistics
from pyro_vae.likelihoods import LIKELIHOODS, Bernoulli, Family, Likelihood
from tests.likelihoods import families
from tests.quadrature import assert_draws_follow, grid, mass

CASES: dict[str, dict[str, Any]] = {
    "bernoulli": {"kind": "bernoulli"},
    "binomial": {"kind": "binomial", "total_count": 7},
    "continuous_bernoulli": {"kind": "continuous_bernoulli"},
    "normal_learned": {"kind": "normal", "scale": "learned"},
    "normal_per_feature": {"kind": "normal", "scale": "per_feature"},
    "normal_decoder": {"kind": "normal", "scale": "decoder"},
    "normal_fixed": {"kind": "normal", "scale": 0.3},
    "ordinal": {"kind": "ordinal", "num_classes": 4},
}
LATENT = 2

every_case = pytest.mark.parametrize("case", CASES)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
every_shape = pytest.mark.parametrize("data_shape", [(4,), (2, 3)])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def a_family(case: str, data_shape: tuple[int, ...] = (4,), seed: int = 0) -> Family:
    """The family of a case, with random parameters, started from rows of its own."""
    options = LIKELIHOODS.options(CASES[case]["kind"]).model_validate(CASES[case])
    family: Family = LIKELIHOODS.build(options, data_shape)
    for parameter in family.parameters():
        parameter.data.add_(0.5 * noise(*parameter.shape, seed=seed))
    family.pyro_vae_start(rows_of(family, seed))
    return family


def rows_of(family: Family, seed: int) -> Statistics:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        return statistics([family(noise(50, *family.param_shape, seed=seed)).sample()])


def a_likelihood(
    case: str, data_shape: tuple[int, ...] = (4,), seed: int = 0
) -> Likelihood:
    family = a_family(case, data_shape, seed)
    decoder = nn.Linear(LATENT, math.prod(family.param_shape))
    decoder.weight.data.copy_(noise(*decoder.weight.shape, seed=seed + 10))
    decoder.bias.data.copy_(noise(*decoder.bias.shape, seed=seed + 20))
    return Likelihood(decoder, family)


def a_draw(p: Distribution, shape: tuple[int, ...] = ()) -> Tensor:
    torch.manual_seed(0)
    return p.sample(shape).detach()


def test_every_kind_has_a_case() -> None:
    others = {case.options["kind"] for case in families.CASES.values()}
    assert others | {case["kind"] for case in CASES.values()} == set(LIKELIHOODS)


@every_case
@every_shape
@pytest.mark.parametrize("lead", [(), (5,), (3, 5), (2, 3, 5)])
def test_shapes(case: str, data_shape: tuple[int, ...], lead: tuple[int, ...]) -> None:
    p = a_likelihood(case, data_shape)(noise(*lead, LATENT))
    assert isinstance(p, Distribution)
    assert (p.batch_shape, p.event_shape) == (lead, data_shape)
    assert p.mean.shape == lead + data_shape
    x = a_draw(p, (7,))
    assert x.shape == (7, *lead, *data_shape)
    assert p.log_prob(x).shape == (7, *lead)


@every_case
@every_shape
def test_rows_do_not_depend_on_each_other(
    case: str, data_shape: tuple[int, ...]
) -> None:
    likelihood = a_likelihood(case, data_shape).double()
    z = noise(3, 5, LATENT).double()
    x = a_draw(likelihood(z))
    each = torch.stack(
        [
            torch.stack([likelihood(z[i, j]).log_prob(x[i, j]) for j in range(5)])
            for i in range(3)
        ]
    )
    torch.testing.assert_close(likelihood(z).log_prob(x), each)


@every_case
def test_no_rows_are_no_rows(case: str) -> None:
    assert a_likelihood(case)(noise(0, LATENT)).batch_shape == (0,)


@every_case
@every_dtype
def test_dtype(case: str, dtype: torch.dtype) -> None:
    likelihood = a_likelihood(case).to(dtype)
    z = noise(5, LATENT).to(dtype)
    p = likelihood(z)
    x = a_draw(p)
    assert {x.dtype, p.mean.dtype} == {dtype}
    assert p.log_prob(x).dtype == (torch.float64 if case == "binomial" else dtype)
    exact = a_likelihood(case).double()(z.double()).log_prob(x.double())
    torch.testing.assert_close(
        p.log_prob(x).double(), exact, rtol=1e-5, atol=1e-5
    )  # four float32 terms a row


@every_case
def test_the_whole_likelihood_moves_to_a_device(case: str) -> None:
    with pyro.validation_enabled(
        False
    ):  # validation would ask for values, and the meta device has none
        p = a_likelihood(case).to("meta")(torch.ones(5, LATENT, device="meta"))
        assert p.log_prob(torch.ones(5, 4, device="meta")).device.type == "meta"


@every_case
@every_dtype
def test_draws_lie_in_the_support_and_have_a_finite_density(
    case: str, dtype: torch.dtype
) -> None:
    """Also where the decoder is far out, as it is for pixels that are always black."""
    family = a_family(case).to(dtype)
    for size in (1, 30):
        p = family(size * noise(1000, *family.param_shape).to(dtype))
        x = a_draw(p)
        assert family.support.check(x).all()
        assert p.log_prob(x).isfinite().all()


@every_case
def test_what_the_checks_of_the_data_need(case: str) -> None:
    family = a_family(case)
    assert isinstance(family.support, constraints.Constraint)
    assert family.remedy
    outside = torch.tensor([math.nan, math.inf])
    assert not family.support.check(outside).all()
    with pytest.raises(ValueError, match="within the support"):
        family(noise(1, *family.param_shape)).log_prob(torch.full((1, 4), math.nan))


RAWS = (-50.0, -20.0, -2.0, -0.1, 0.0, 0.2, 1.5, 20.0, 50.0)


def at(
    case: str, raw: float, dtype: torch.dtype = torch.float64
) -> tuple[Family, Distribution]:
    """The distribution of one number for one number from the decoder (for a scale too)."""
    family = a_family(case, (1,)).to(dtype)
    return family, family(torch.full(family.param_shape, raw, dtype=dtype))


# A float32 number 50 from zero is rounded to 4e-6, too much of a small scale.
IN_FLOAT32 = [
    (case, raw)
    for case in CASES
    for raw in RAWS
    if CASES[case]["kind"] != "normal" or abs(raw) <= 2
]


@every_case
@pytest.mark.parametrize("raw", RAWS)
def test_density_sums_to_one(case: str, raw: float) -> None:
    family, p = at(case, raw)
    assert float(mass(p, grid(family.support, p)).sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("case", "raw"), IN_FLOAT32)
def test_density_sums_to_one_in_float32(case: str, raw: float) -> None:
    """A log density near -100 is rounded to 1e-5, the relative error of the density."""
    family, p = at(case, raw, torch.float32)
    assert float(mass(p, grid(family.support, p)).sum()) == pytest.approx(1, abs=2e-5)


@every_case
@pytest.mark.parametrize("raw", [-3.0, 0.0, 1.5])
def test_samples_follow_the_density(case: str, raw: float) -> None:
    family, p = at(case, raw)
    where = grid(family.support, p)
    assert_draws_follow(a_draw(p, (20_000,)), mass(p, where), where.points)


@every_case
@pytest.mark.parametrize("raw", [-20.0, -3.0, 0.0, 0.2, 1.5, 20.0])
def test_mean_and_variance_are_those_of_the_density(case: str, raw: float) -> None:
    family, p = at(case, raw)
    where = grid(family.support, p)
    probabilities = mass(p, where)
    mean = probabilities @ where.points
    torch.testing.assert_close(p.mean.detach(), mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        p.variance.detach(),
        probabilities @ (where.points - mean) ** 2,
        rtol=1e-9,
        atol=1e-9,
    )


@every_case
def test_gradients_reach_every_parameter(case: str) -> None:
    vae = VAE(data_shape=(4,), latent_dim=3, hidden_dims=(8,), likelihood=CASES[case])
    x = a_draw(a_likelihood(case)(noise(16, LATENT)))
    torch.manual_seed(0)
    ELBO()(vae.model, vae.guide, x).elbo.mean().neg().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.grad.any()
        for p in vae.parameters()
    )


@every_case
def test_gradient_of_the_log_density(case: str) -> None:
    """By backpropagation and by differences, for z and through it; also at the decoder's zero."""
    likelihood = a_likelihood(case).double()
    z = noise(5, LATENT).double()
    x = a_draw(likelihood(z))
    assert torch.autograd.gradcheck(
        lambda z: likelihood(z).log_prob(x), (z.requires_grad_(),)
    )
    raw = torch.zeros(
        5, *likelihood.family.param_shape, dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(
        lambda raw: likelihood.family(raw).log_prob(x), (raw,)
    )


@every_case
def test_gradient_is_finite_far_out(case: str) -> None:
    family = a_family(case)
    for size in (30.0, -30.0):
        raw = torch.full((5, *family.param_shape), size, requires_grad=True)
        p = family(raw)
        p.log_prob(a_draw(p)).sum().backward()
        assert raw.grad is not None
        assert raw.grad.isfinite().all()


@every_case
def test_state_dict_round_trip(case: str) -> None:
    """What was learned and what was taken from the data: both are in the file."""
    first = a_likelihood(case, seed=1)
    second = a_likelihood(case, seed=2)
    z = noise(5, LATENT)
    x = a_draw(first(z))
    assert not torch.equal(second(z).log_prob(x), first(z).log_prob(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(z).log_prob(x), first(z).log_prob(x))


@every_case
def test_functional_call_takes_the_parameters_it_is_given(case: str) -> None:
    likelihood = a_likelihood(case, seed=1)
    other = a_likelihood(case, seed=2)
    z = noise(5, LATENT)
    x = a_draw(likelihood(z))
    given = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    assert torch.equal(
        functional_call(likelihood, given, (z,)).log_prob(x), other(z).log_prob(x)
    )


@every_case
def test_functional_gradient_is_that_of_backpropagation(case: str) -> None:
    likelihood = a_likelihood(case)
    z = noise(5, LATENT)
    x = a_draw(likelihood(z))
    weights = {name: p.detach() for name, p in likelihood.named_parameters()}
    found = torch.func.grad(
        lambda weights: functional_call(likelihood, weights, (z,)).log_prob(x).sum()
    )(weights)
    likelihood(z).log_prob(x).sum().backward()
    torch.testing.assert_close(
        found, {name: p.grad for name, p in likelihood.named_parameters()}
    )


@every_case
def test_text_shows_the_family(case: str) -> None:
    family = a_family(case)
    vae = VAE(data_shape=(4,), latent_dim=2, likelihood=CASES[case])
    assert family.extra_repr().startswith("x ~ ")
    assert repr(family) == f"{type(family).__name__}({family.extra_repr()})"
    assert f"p(x | z)  {family.extra_repr()}" in str(vae)


# Decoders of any shape


@pytest.mark.parametrize("layout", [(2, 3), (6,), (1, 2, 3)])
def test_a_decoder_may_shape_its_numbers_as_it_likes(layout: tuple[int, ...]) -> None:
    decoder = nn.Sequential(nn.Linear(LATENT, 6), nn.Unflatten(-1, layout))
    assert Likelihood(decoder, Bernoulli((2, 3)))(noise(3, 5, LATENT)).event_shape == (
        2,
        3,
    )


class Pair(nn.Module):
    """A decoder with two outputs."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z, z


class Pooled(nn.Module):
    """A decoder that loses its rows."""

    def forward(self, z: Tensor) -> Tensor:
        return z.new_zeros(1, 6)


@pytest.mark.parametrize(
    ("decoder", "got"),
    [(nn.Linear(LATENT, 5), r"\(15, 5\)"), (Pair(), "tuple"), (Pooled(), r"\(1, 6\)")],
)
def test_a_decoder_without_the_parameters_is_refused(
    decoder: nn.Module, got: str
) -> None:
    with pytest.raises(
        ValueError,
        match=rf"^decoder: expected 6 numbers for each row .* got {got} for 15 rows",
    ):
        Likelihood(decoder, Bernoulli((2, 3)))(noise(3, 5, LATENT))
