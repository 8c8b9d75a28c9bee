"""What every prior keeps: `prior()` has event shape (latent_dim,). A new kind adds a case here."""

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from pyro_vae import ELBO, VAE
from pyro_vae.priors import PRIORS, Constant
from tests.priors import families
from tests.quadrature import assert_draws_follow, mass, vector_grid

CASES: dict[str, dict[str, Any]] = {
    "standard_normal": {"kind": "standard_normal"},
    "flat": {"kind": "flat"},
}
IMPROPER = {"flat"}

every_case = pytest.mark.parametrize("case", CASES)
every_density = pytest.mark.parametrize("case", sorted(CASES.keys() - IMPROPER))
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def a_prior(case: str, latent_dim: int = 3, seed: int = 0) -> nn.Module:
    """The prior of a case with random numbers for its parameters."""
    options = PRIORS.options(CASES[case]["kind"]).model_validate(CASES[case])
    prior: nn.Module = PRIORS.build(options, latent_dim)
    generator = torch.Generator().manual_seed(seed)
    for parameter in prior.parameters():
        parameter.data.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return prior


def a_vae(case: str, **fields: Any) -> VAE:
    guide = "delta" if case in IMPROPER else "mean_field"
    return VAE(
        data_shape=(4,),
        latent_dim=3,
        hidden_dims=(8,),
        prior=CASES[case],
        guide=guide,
        **fields,
    )


def codes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_every_kind_has_a_case() -> None:
    others = {case["kind"] for case in families.CASES.values()}
    assert others | {case["kind"] for case in CASES.values()} == set(PRIORS)


@every_case
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_shapes(case: str, latent_dim: int) -> None:
    p = a_prior(case, latent_dim)()
    assert isinstance(p, Distribution)
    assert (p.batch_shape, p.event_shape) == ((), (latent_dim,))
    for lead in ((), (5,), (3, 5)):
        assert p.log_prob(codes(*lead, latent_dim)).shape == lead
        assert p.expand(lead).batch_shape == lead


@every_density
@pytest.mark.parametrize("shape", [(), (5,), (3, 5)])
def test_samples_have_their_shape_and_a_finite_density(
    case: str, shape: tuple[int, ...]
) -> None:
    p = a_prior(case)()
    torch.manual_seed(0)
    z = p.sample(shape)
    assert z.shape == (*shape, 3)
    assert p.support.check(z).all()
    assert p.log_prob(z).isfinite().all()


@every_case
def test_rows_do_not_depend_on_each_other(case: str) -> None:
    p = a_prior(case)()
    z = codes(3, 5, 3)
    each = torch.stack([torch.stack([p.log_prob(row) for row in rows]) for rows in z])
    torch.testing.assert_close(p.log_prob(z), each)


@every_case
@every_dtype
def test_dtype(case: str, dtype: torch.dtype) -> None:
    p = a_prior(case).to(dtype)()
    z = codes(5, 3, dtype=dtype)
    assert p.log_prob(z).dtype == dtype
    if case not in IMPROPER:
        assert p.sample().dtype == dtype
    torch.testing.assert_close(
        p.log_prob(z), a_prior(case).double()().log_prob(z.double()).to(dtype)
    )


@every_case
def test_the_whole_prior_moves_to_a_device(case: str) -> None:
    with pyro.validation_enabled(
        False
    ):  # validation would ask for values, and the meta device has none
        assert (
            a_prior(case)
            .to("meta")()
            .log_prob(torch.ones(5, 3, device="meta"))
            .device.type
            == "meta"
        )


@every_density
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_density_integrates_to_one(case: str, latent_dim: int) -> None:
    p = a_prior(case, latent_dim).double()()
    assert float(mass(p, vector_grid(p)).sum()) == pytest.approx(1, abs=1e-9)


@every_density
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_samples_follow_the_density(case: str, latent_dim: int) -> None:
    p = a_prior(case, latent_dim).double()()
    where = vector_grid(p)
    torch.manual_seed(0)
    assert_draws_follow(p.sample((20_000,)).detach(), mass(p, where), where.points)


@every_case
def test_gradients_reach_every_parameter(case: str) -> None:
    vae = a_vae(case)
    torch.manual_seed(0)
    ELBO()(vae.model, vae.guide, codes(16, 4)).elbo.mean().neg().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.grad.any()
        for p in vae.parameters()
    )


@every_density
def test_gradient_with_respect_to_z(case: str) -> None:
    """Samplers that follow the gradient, NUTS for one, need it from every prior."""
    prior = a_prior(case).double()
    z = codes(5, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: prior().log_prob(z), (z,))


@every_case
def test_state_dict_round_trip(case: str) -> None:
    first = a_prior(case, seed=1)
    second = a_prior(case, seed=2)
    z = codes(5, 3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second().log_prob(z), first().log_prob(z))


@every_case
def test_functional_call_takes_the_parameters_it_is_given(case: str) -> None:
    prior = a_prior(case, seed=1)
    other = a_prior(case, seed=2)
    z = codes(5, 3)
    given = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    assert torch.equal(
        functional_call(prior, given, ()).log_prob(z), other().log_prob(z)
    )


@every_case
def test_text_shows_the_family(case: str) -> None:
    prior = a_prior(case)
    vae = a_vae(case)
    assert prior.extra_repr().startswith("z ~ ")
    assert repr(prior) == f"{type(prior).__name__}({prior.extra_repr()})"
    assert f"p(z)      {prior.extra_repr()}" in str(vae)


@every_density
def test_as_a_site_of_the_model(case: str) -> None:
    vae = a_vae(case)
    with pyro.settings.context(module_local_params=True):
        trace = poutine.trace(vae.model).get_trace(n=5)
    assert trace.nodes["z"]["value"].shape == (5, 3)
    assert trace.nodes["z"]["fn"].log_prob(trace.nodes["z"]["value"]).shape == (5,)


# A distribution of the user's as a prior

DISTRIBUTIONS: dict[str, Distribution] = {
    "independent": dist.Laplace(torch.zeros(3), torch.ones(3)).to_event(1),
    "full covariance": dist.MultivariateNormal(torch.zeros(3), torch.eye(3) + 0.5),
    "mixture": torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([0.3, 0.7])),
        torch.distributions.Independent(
            torch.distributions.Normal(codes(2, 3), 1.0), 1
        ),
    ),
    "transformed": dist.TransformedDistribution(
        dist.Normal(torch.zeros(3), 1.0).to_event(1),
        [
            torch.distributions.AffineTransform(
                torch.ones(3), 2 * torch.ones(3), event_dim=1
            )
        ],
    ),
}
every_distribution = pytest.mark.parametrize("name", DISTRIBUTIONS)


@every_distribution
def test_a_plain_distribution_is_a_prior(name: str) -> None:
    vae = VAE(data_shape=(4,), latent_dim=3, prior=DISTRIBUTIONS[name])
    z = codes(5, 3)
    assert torch.equal(vae.prior().log_prob(z), DISTRIBUTIONS[name].log_prob(z))
    torch.manual_seed(0)
    ELBO()(vae.model, vae.guide, codes(16, 4)).elbo.mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in vae.parameters())


@every_distribution
def test_a_plain_distribution_moves_with_the_model(name: str) -> None:
    original = DISTRIBUTIONS[name]
    z = codes(5, 3, dtype=torch.float64)
    before = original.log_prob(z.float())
    moved = Constant(original).double()()
    assert (moved.sample().dtype, moved.log_prob(z).dtype) == (
        torch.float64,
        torch.float64,
    )
    torch.testing.assert_close(moved.log_prob(z).float(), before)
    assert original.sample().dtype == torch.float32, (
        "the user's own object stays as it was"
    )
    assert torch.equal(original.log_prob(z.float()), before)


def test_a_constant_shows_its_distribution() -> None:
    constant = Constant(DISTRIBUTIONS["independent"])
    assert "Laplace" in repr(constant)
    assert "Laplace" in str(
        VAE(data_shape=(4,), latent_dim=3, prior=DISTRIBUTIONS["independent"])
    )
