"""Flows and levels: Jacobians, inverses, the direction that is cheap, and what a draw remembers."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import Distribution
from torch.func import functional_call

from pyro_vae import VAE
from pyro_vae.guides.pushforward import Pushforward, noise_points
from tests.guides.families import CASES, PUSHFORWARDS, X, small
from tests.test_layout import python

FLOWS = "autoregressive", "coupling", "spline"
every = pytest.mark.parametrize("name", PUSHFORWARDS)


def drawn_from(name: str, latent_dim: int = 5, rows: int = 1) -> Pushforward:
    with torch.no_grad():
        q = small(name, latent_dim).double().posterior(X[:rows].double())
    assert isinstance(q, Pushforward)
    return q


@every
@pytest.mark.parametrize("latent_dim", [2, 5])
def test_the_jacobian_is_that_of_autograd(name: str, latent_dim: int) -> None:
    torch.manual_seed(0)
    q = drawn_from(name, latent_dim)
    for noise in torch.randn(5, 1, latent_dim, dtype=torch.float64):
        z, log_det = q.push(noise)
        matrix = jacobian(lambda noise: q.push(noise)[0][0], noise)[:, 0]
        torch.testing.assert_close(
            log_det, torch.linalg.slogdet(matrix).logabsdet.reshape(1)
        )
        back, log_det_back = q.pull(z)
        torch.testing.assert_close(back, noise)
        torch.testing.assert_close(log_det_back, log_det)


@every
def test_far_noise_comes_back(name: str) -> None:
    q = drawn_from(name)
    noise = torch.tensor([[6.0, -7.0, 0.0, 8.0, -5.5]], dtype=torch.float64)
    torch.testing.assert_close(q.pull(q.push(noise)[0])[0], noise, rtol=1e-6, atol=1e-6)


def network_calls(vae: VAE) -> list[int]:
    """A list that grows by the number of calls of each flow network."""
    calls: list[int] = []
    for step in vae.posterior.family.transform.steps:
        step.hyper.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("name", FLOWS)
def test_draws_and_their_densities_take_one_pass(name: str) -> None:
    vae = small(name, 5)
    q = vae.posterior(X)
    calls = network_calls(vae)
    z = q.rsample()
    q.log_prob(z)
    assert len(calls) == 2
    q.log_prob(z.clone())
    assert len(calls) == 2 + 2 * (1 + {"autoregressive": 5}.get(name, 2))


@every
def test_a_draw_remembers_its_density(name: str) -> None:
    torch.manual_seed(0)
    vae = small(name, 3).double()
    q = vae.posterior(X.double())
    weights = [*vae.posterior.parameters()]
    z = q.rsample((2,))
    one = q.log_prob(z)
    other = q.log_prob(z.clone())
    torch.testing.assert_close(one, other)
    for a, b in zip(
        *(
            torch.autograd.grad(part.sum(), weights, retain_graph=True)
            for part in (one, other)
        ),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@every
def test_a_draw_without_gradients_gives_a_density_with_them(name: str) -> None:
    q = small(name, 3).double().posterior(X.double())
    z = q.sample()
    assert not z.requires_grad
    assert q.log_prob(z).requires_grad
    moved = q.rsample()
    with torch.no_grad():
        assert not q.log_prob(moved).requires_grad
        torch.testing.assert_close(q.log_prob(moved), q.log_prob(moved.clone()))


@every
def test_a_distribution_keeps_the_parameters_it_was_made_with(name: str) -> None:
    """So a gradient estimator that holds the parameters constant holds all of them constant."""
    vae = small(name, 3)
    constants = {
        path: weight.detach() for path, weight in vae.posterior.named_parameters()
    }
    fixed = functional_call(vae.posterior, constants, (X,))
    z = vae.posterior(X).sample()
    assert not fixed.log_prob(z).requires_grad
    assert not fixed.mean.requires_grad
    with torch.no_grad():
        assert not vae.posterior(X).mean.requires_grad


@every
def test_draws_take_a_generator(name: str) -> None:
    q = drawn_from(name, 3)
    draws = [
        q.rsample((4,), generator=torch.Generator().manual_seed(7)) for _ in range(2)
    ]
    assert torch.equal(*draws)


@pytest.mark.parametrize("name", FLOWS)
def test_one_dimension(name: str) -> None:
    q = drawn_from(name, 1)
    z = q.sample((3,))
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))


def test_noise_points_have_the_moments_of_the_noise() -> None:
    for count, dim in ((8, 2), (8, 4), (256, 50)):
        points = noise_points(count, dim).double()
        torch.testing.assert_close(
            points.mean(0), torch.zeros(dim).double(), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(
            points.T @ points / count, torch.eye(dim).double(), atol=1e-5, rtol=0
        )
    few = noise_points(4, 10)
    torch.testing.assert_close(few.square().mean(0), torch.ones(10))
    assert not torch.equal(noise_points(8, 4, seed=1), noise_points(8, 4))


@pytest.mark.slow
@pytest.mark.parametrize("validation", [True, False])
def test_importing_flows_leaves_validation_alone(validation: bool) -> None:
    python(
        "import pyro\nfrom torch.distributions import Distribution, Normal\n"
        f"pyro.enable_validation({validation})\nbefore = pyro.settings.get()\n"
        "import pyro_vae.guides\nfrom pyro_vae.networks import import_zuko\n"
        "assert import_zuko() is import_zuko()\n"
        f"assert Distribution._validate_args is {validation} and pyro.settings.get() == before"
    )


# Two levels


def factors(name: str, q: Distribution, z: Tensor) -> Tensor:
    """log q(first | x) + log q(second | x, first)."""
    bottom = z[..., :2]
    top = z[..., 2:]
    first, second = (top, bottom) if name == "top_down" else (bottom, top)
    log_q: Tensor = q.first.log_prob(first) + q.second(first).log_prob(second)
    return log_q


@pytest.mark.parametrize("name", ["top_down", "bottom_up"])
def test_the_density_is_the_product_of_its_factors(name: str) -> None:
    vae = VAE(
        data_shape=(4,), latent_dim=5, guide=CASES[name] | {"top_dim": 3}
    ).double()
    q = vae.posterior(X.double())
    z = torch.randn(4, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), factors(name, q, z))
    wide = q.expand((4, 6))
    torch.testing.assert_close(wide.log_prob(z), q.log_prob(z))


def test_the_top_level_has_a_distribution() -> None:
    """q(z₂ | x) is that of the last entries: its density is the integral of q(z | x) over z₁."""
    q = drawn_from("top_down", 2)
    top = torch.linspace(-2, 2, 5, dtype=torch.float64)
    bottom = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    joint = torch.cartesian_prod(bottom, top).reshape(len(bottom), 5, 1, 2)
    integral = (q.log_prob(joint).exp().sum(0) * (bottom[1] - bottom[0])).log()
    torch.testing.assert_close(integral, q.top.log_prob(top.reshape(5, 1, 1)))
    assert q.top.event_shape == (1,)
    assert q.expand((4, 1)).top.batch_shape == (4, 1)
    assert math.isclose(float(q.mean[0, 1]), float(q.top.mean), abs_tol=1e-6)


def test_the_other_direction_has_none() -> None:
    q = drawn_from("bottom_up", 2)
    assert not hasattr(q, "top")
    with pytest.raises(AttributeError, match="top_down"):
        _ = q.top


@pytest.mark.parametrize("top_dim", [2, 3])
def test_two_levels_need_room(top_dim: int) -> None:
    with pytest.raises(ValueError, match="below latent_dim = 2"):
        VAE(
            data_shape=(4,),
            latent_dim=2,
            guide={"kind": "hierarchical", "top_dim": top_dim},
        )
