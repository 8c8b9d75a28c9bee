"""What every guide keeps: `posterior(x)` has event shape (latent_dim,). A new kind adds a case."""

import math
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from pyro_vae import ELBO, VAE
from pyro_vae.guides import GUIDES, Posterior
from pyro_vae.networks import Standardize
from tests.guides import families
from tests.quadrature import assert_draws_follow, mass, vector_grid

CASES: dict[str, dict[str, Any]] = {
    "mean_field": {"kind": "mean_field"},
    "full_rank": {"kind": "full_rank"},
    "delta": {"kind": "delta"},
}
POINTS = {"delta"}
FEATURES = 5

every_case = pytest.mark.parametrize("case", CASES)
every_density = pytest.mark.parametrize("case", sorted(CASES.keys() - POINTS))
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
every_dim = pytest.mark.parametrize("latent_dim", [1, 2])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def a_family(case: str, latent_dim: int = 3, seed: int = 0) -> nn.Module:
    """The family of a case with random numbers for its parameters."""
    options = GUIDES.options(CASES[case]["kind"]).model_validate(CASES[case])
    family: nn.Module = GUIDES.build(options, FEATURES, latent_dim)
    for i, parameter in enumerate(family.parameters()):
        parameter.data.copy_(0.5 * noise(*parameter.shape, seed=100 * seed + i))
    return family


def a_posterior(
    case: str, data_shape: tuple[int, ...] = (4,), latent_dim: int = 3, seed: int = 0
) -> Posterior:
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(data_shape), FEATURES), nn.Tanh()
    )
    encoder[1].weight.data.copy_(noise(*encoder[1].weight.shape, seed=seed + 50))
    encoder[1].bias.data.copy_(noise(FEATURES, seed=seed + 60))
    return Posterior(
        Standardize(data_shape, "feature"), encoder, a_family(case, latent_dim, seed)
    )


def a_vae(case: str, **fields: Any) -> VAE:
    fields = {"data_shape": (4,), "latent_dim": 3, "hidden_dims": (8,), **fields}
    return VAE(guide=CASES[case], **fields)


def a_draw(q: Distribution, shape: tuple[int, ...] = ()) -> Tensor:
    torch.manual_seed(0)
    return q.rsample(shape)


def test_every_kind_has_a_case() -> None:
    others = {case["kind"] for case in families.CASES.values()}
    assert others | {case["kind"] for case in CASES.values()} == set(GUIDES)


@every_case
@pytest.mark.parametrize("data_shape", [(4,), (2, 3)])
@pytest.mark.parametrize("latent_dim", [1, 3])
@pytest.mark.parametrize("rows", [1, 6])
def test_shapes(
    case: str, data_shape: tuple[int, ...], latent_dim: int, rows: int
) -> None:
    q = a_posterior(case, data_shape, latent_dim)(noise(rows, *data_shape))
    assert isinstance(q, Distribution)
    assert (q.batch_shape, q.event_shape) == ((rows,), (latent_dim,))
    for lead in ((), (5,), (2, 5)):
        z = a_draw(q, lead)
        assert z.shape == (*lead, rows, latent_dim)
        assert q.log_prob(z).shape == (*lead, rows)


@every_case
def test_rows_do_not_depend_on_each_other(case: str) -> None:
    posterior = a_posterior(case).double()
    x = noise(6, 4).double()
    alone = [posterior(row) for row in x.split(1)]
    if (
        case == "delta"
    ):  # a point has no density beside it, where the product of six rows may round it to
        torch.testing.assert_close(
            a_draw(posterior(x)), torch.cat([a_draw(q) for q in alone])
        )
        return
    z = a_draw(posterior(x)).detach()
    each = torch.cat(
        [q.log_prob(one) for q, one in zip(alone, z.split(1), strict=True)]
    )
    torch.testing.assert_close(posterior(x).log_prob(z), each)


@every_case
def test_each_row_has_a_posterior_of_its_own(case: str) -> None:
    z = a_draw(a_posterior(case)(noise(6, 4)), (200,)).detach()
    assert (z.mean(0)[1:] - z.mean(0)[:-1]).abs().max(-1).values.min() > 0.05


@every_case
@every_dtype
def test_dtype(case: str, dtype: torch.dtype) -> None:
    q = a_posterior(case).to(dtype)(noise(6, 4).to(dtype))
    z = a_draw(q).detach()
    assert {z.dtype, q.mean.dtype, q.log_prob(z).dtype} == {dtype}
    exact = a_posterior(case).double()(noise(6, 4).double())
    torch.testing.assert_close(q.mean.double(), exact.mean, rtol=1e-5, atol=1e-5)
    if case not in POINTS:
        torch.testing.assert_close(
            q.log_prob(z).double(), exact.log_prob(z.double()), rtol=1e-4, atol=1e-4
        )


@every_case
def test_the_whole_guide_moves_to_a_device(case: str) -> None:
    with pyro.validation_enabled(
        False
    ):  # validation would ask for values, and the meta device has none
        q = a_posterior(case).to("meta")(torch.ones(6, 4, device="meta"))
        assert q.log_prob(torch.ones(6, 3, device="meta")).device.type == "meta"


@every_case
@every_dtype
@pytest.mark.parametrize("size", [1, 30])
def test_draws_lie_in_the_support_and_have_a_finite_density(
    case: str, dtype: torch.dtype, size: int
) -> None:
    q = a_family(case).to(dtype)(size * noise(1000, FEATURES).to(dtype))
    z = a_draw(q)
    assert q.support.check(z).all()
    assert q.log_prob(z).isfinite().all()


@every_density
@every_dim
@pytest.mark.parametrize("seed", range(3))
def test_density_integrates_to_one(case: str, latent_dim: int, seed: int) -> None:
    q = a_family(case, latent_dim, seed).double()(noise(FEATURES).double())
    assert float(mass(q, vector_grid(q)).sum()) == pytest.approx(1, abs=1e-9)


@every_density
@every_dim
def test_samples_follow_the_density(case: str, latent_dim: int) -> None:
    q = a_family(case, latent_dim).double()(noise(FEATURES).double())
    where = vector_grid(q)
    assert_draws_follow(a_draw(q, (20_000,)).detach(), mass(q, where), where.points)


@pytest.mark.parametrize(
    ("case", "prior"),
    [
        *((case, "standard_normal") for case in CASES),
        *((case, "flat") for case in sorted(POINTS)),
    ],
)
def test_gradients_reach_every_parameter(case: str, prior: str) -> None:
    vae = a_vae(case, prior=prior)
    torch.manual_seed(0)
    ELBO()(vae.model, vae.guide, noise(16, 4)).elbo.mean().neg().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.grad.any()
        for p in vae.parameters()
    )


@every_case
def test_draws_are_reparameterised(case: str) -> None:
    """dz / d features by backpropagation and by differences, the noise held fixed."""
    family = a_family(case).double()
    assert family(noise(2, FEATURES).double()).has_rsample
    features = noise(2, FEATURES).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda features: a_draw(family(features)), (features,)
    )


@every_case
def test_state_dict_round_trip(case: str) -> None:
    """With the statistics that standardise the inputs."""
    first = a_posterior(case, seed=1)
    second = a_posterior(case, seed=2)
    x = noise(6, 4)
    first.standardize.mean.add_(1)
    first.standardize.std.mul_(2)
    assert not torch.equal(a_draw(second(x)), a_draw(first(x)))
    second.load_state_dict(first.state_dict())
    assert torch.equal(a_draw(second(x)), a_draw(first(x)))
    z = a_draw(first(x))
    assert torch.equal(second(x).log_prob(z), first(x).log_prob(z))


@every_case
def test_functional_call_takes_the_parameters_it_is_given(case: str) -> None:
    posterior = a_posterior(case, seed=1)
    other = a_posterior(case, seed=2)
    x = noise(6, 4)
    given = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    assert torch.equal(
        a_draw(functional_call(posterior, given, (x,))), a_draw(other(x))
    )


@every_case
def test_functional_gradient_is_that_of_backpropagation(case: str) -> None:
    posterior = a_posterior(case)
    x = noise(6, 4)
    weights = {name: p.detach() for name, p in posterior.named_parameters()}
    found = torch.func.grad(
        lambda w: a_draw(functional_call(posterior, w, (x,))).square().sum()
    )(weights)
    a_draw(posterior(x)).square().sum().backward()
    torch.testing.assert_close(
        found, {name: p.grad for name, p in posterior.named_parameters()}
    )


@every_case
def test_text_shows_the_family(case: str) -> None:
    family = a_family(case)
    vae = a_vae(case)
    text = family.extra_repr()
    assert text.startswith("z ")
    assert repr(family).startswith(f"{type(family).__name__}(\n  {text}\n")
    assert f"q(z | x)  {text}" in str(vae)


@every_case
def test_as_a_site_of_the_guide(case: str) -> None:
    vae = a_vae(case)
    x = noise(6, 4)
    with pyro.settings.context(module_local_params=True), pyro.validation_enabled(True):
        trace = poutine.trace(vae.guide).get_trace(x)
    site = trace.nodes["z"]
    assert site["value"].shape == (6, 3)
    assert site["fn"].log_prob(site["value"]).shape == (6,)
