"""What every family of guides keeps: shapes, gradients, dtypes, files, densities and draws."""

import copy
import json
import math
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae import ELBO, VAE
from pyro_vae.guides import GUIDES
from pyro_vae.spec import Spec
from pyro_vae.training import load, save
from tests.guides.families import CASES, TWO_LEVELS, X, small

SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
every = pytest.mark.parametrize("name", CASES)


def posterior(vae: VAE, x: Tensor = X) -> Distribution:
    with torch.no_grad():
        return vae.posterior(x)


def same_density(one: Distribution, other: Distribution, **tolerance: Any) -> None:
    z = torch.linspace(-1, 1, 2 * len(X)).reshape(len(X), 2)
    torch.testing.assert_close(one.log_prob(z), other.log_prob(z), **tolerance)


def test_every_family_with_a_density_is_tested() -> None:
    assert {options["kind"] for options in CASES.values()} == set(GUIDES) - {"delta"}


# Shapes


@every
def test_shapes(name: str) -> None:
    q = posterior(small(name, 3), X)
    assert q.batch_shape == (6,)
    assert q.event_shape == (3,)
    assert q.has_rsample
    assert q.mean.shape == q.stddev.shape == q.variance.shape == (6, 3)
    for shape in ((), (4,), (2, 4)):
        z = q.sample(shape)
        assert z.shape == (*shape, 6, 3)
        assert q.log_prob(z.clone()).shape == (*shape, 6)
    assert (
        q.log_prob(torch.zeros(3)).shape == q.log_prob(torch.zeros(1, 3)).shape == (6,)
    )
    assert q.log_prob(torch.zeros(5, 1, 3)).shape == (5, 6)


@every
def test_expanded_shapes_and_densities(name: str) -> None:
    q = posterior(small(name, 3), X)
    wide = q.expand((4, 6))
    z = wide.sample((2,))
    assert wide.batch_shape == (4, 6)
    assert wide.mean.shape == wide.stddev.shape == (4, 6, 3)
    assert z.shape == (2, 4, 6, 3)
    assert (z[0, 0] != z[0, 1]).all()
    torch.testing.assert_close(wide.log_prob(z.clone()), q.log_prob(z.clone()))
    torch.testing.assert_close(
        wide.log_prob(z), q.log_prob(z.clone()), rtol=1e-3, atol=1e-4
    )
    assert posterior(small(name, 3), X[:1]).expand((5,)).sample().shape == (5, 3)


@every
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    vae = small(name).double()
    whole = posterior(vae, X.double())
    z = torch.randn(6, 2, dtype=torch.float64)
    alone = [posterior(vae, row.double()) for row in X.split(1)]
    torch.testing.assert_close(
        whole.log_prob(z),
        torch.cat([q.log_prob(v) for q, v in zip(alone, z, strict=True)]),
    )
    torch.testing.assert_close(whole.mean, torch.cat([q.mean for q in alone]))


@every
def test_asking_draws_no_random_numbers(name: str) -> None:
    """q is a function of the row: only `sample` and `rsample` are random."""
    vae = small(name)
    before = torch.get_rng_state()
    one = posterior(vae)
    other = posterior(vae)
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.stddev, other.stddev)
    assert torch.equal(before, torch.get_rng_state())


@every
def test_mean_and_stddev_are_those_of_the_draws(name: str) -> None:
    torch.manual_seed(0)
    q = posterior(small(name))
    z = q.sample((20_000,))
    assert ((q.mean - z.mean(0)).abs() < 0.1 * z.std(0)).all()
    torch.testing.assert_close(q.stddev, z.std(0), rtol=0.15, atol=0)


# Gradients


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    vae = small(name, 3)
    (-ELBO()(vae.model, vae.guide, X).elbo.mean()).backward()
    for parameter_name, parameter in vae.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.slow
@every
def test_draws_move_as_the_density_says(name: str) -> None:
    """∂/∂φ E_q f(z) = E_q[f(z) ∂ log q(z) / ∂φ] = E[∂f(z(ε, φ)) / ∂φ], by 40 blocks of draws."""
    torch.manual_seed(0)
    vae = small(name).double()
    biases = [
        weight
        for path, weight in vae.posterior.named_parameters()
        if path.startswith("family") and "bias" in path
    ]
    q = vae.posterior(X[:1].double())
    differences = []
    for _ in range(40):
        z = q.rsample((500,))
        f = z.square().sum(-1).add(z[..., 0]).tanh()
        moved = torch.autograd.grad(
            f.mean(), biases, retain_graph=True, allow_unused=True
        )
        fixed = z.detach()
        weight = (f - f.mean()).detach()
        score = torch.autograd.grad(
            (weight * q.log_prob(fixed)).mean(), biases, retain_graph=True
        )
        differences.append(
            torch.cat(
                [
                    torch.zeros_like(b) if a is None else a - b
                    for a, b in zip(moved, score, strict=True)
                ]
            )
        )
    each = torch.stack(differences)
    assert (each.mean(0).abs() < SIGMAS * each.std(0) / math.sqrt(40) + 1e-9).all()


# Types, files, copies


@every
def test_both_precisions(name: str) -> None:
    vae = small(name)
    q = posterior(vae)
    exact = posterior(copy.deepcopy(vae).double(), X.double())
    z = torch.randn(10, 6, 2)
    assert q.sample().dtype == q.mean.dtype == torch.float32
    assert exact.sample().dtype == exact.mean.dtype == torch.float64
    torch.testing.assert_close(
        q.log_prob(z).double(), exact.log_prob(z.double()), rtol=1e-3, atol=1e-3
    )


@every
def test_saved_and_loaded(name: str, tmp_path: Any) -> None:
    vae = small(name)
    twin = load(save(vae, tmp_path / "run"))
    assert twin.spec == vae.spec
    same_density(posterior(vae), posterior(twin), rtol=0, atol=0)


@every
def test_descriptions_round_trip(name: str) -> None:
    spec = Spec(data_shape=(4,), latent_dim=2, guide=CASES[name])
    assert Spec.model_validate(json.loads(spec.model_dump_json())) == spec
    assert "~" in str(small(name)).splitlines()[-1]


@every
def test_a_copy_is_on_its_own(name: str) -> None:
    vae = small(name)
    before = posterior(vae)
    twin = copy.deepcopy(vae)
    same_density(before, posterior(twin), rtol=0, atol=0)
    with torch.no_grad():
        for weight in twin.parameters():
            weight += 0.1
    same_density(before, posterior(vae), rtol=0, atol=0)
    assert not torch.equal(before.mean, posterior(twin).mean)


@every
def test_with_the_parameters_of_another(name: str) -> None:
    vae = small(name)
    twin = copy.deepcopy(vae)
    with torch.no_grad():
        for weight in twin.posterior.parameters():
            weight += 0.1
        swapped = functional_call(
            vae.posterior, dict(twin.posterior.named_parameters()), (X,)
        )
    same_density(swapped, posterior(twin), rtol=0, atol=0)


# Programs


@every
def test_in_a_pyro_program(name: str) -> None:
    torch.manual_seed(0)
    vae = small(name)
    with pyro.settings.context(module_local_params=True):
        site = poutine.trace(vae.guide).get_trace(X).nodes["z"]
        with pyro.plate("particles", 3, dim=-2):
            assert vae.guide(X).shape == (3, 6, 2)
        losses = [
            Trace_ELBO(num_particles=50, vectorize_particles=True)(
                vae.model, vae.guide
            )(X)
            for _ in range(3)
        ]
    assert site["value"].shape == (6, 2)
    assert site["fn"].log_prob(site["value"]).shape == (6,)
    own = -ELBO(kl="monte_carlo", num_particles=150)(vae.model, vae.guide, X).elbo.sum()
    torch.testing.assert_close(torch.stack(losses).mean(), own, rtol=0.2, atol=0)


@every
@pytest.mark.slow
def test_a_step_can_be_traced(name: str) -> None:
    """One graph for the loss and its gradient, made without a look at any number."""
    vae = small(name, 3)
    weights = dict(vae.named_parameters())
    buffers = dict(vae.named_buffers())

    def gradient(
        weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, ...]:
        elbo = functional_call(
            Elbo(vae),
            {f"vae.{name}": value for name, value in (weights | buffers).items()},
            (x,),
        )
        return torch.autograd.grad(elbo, [*weights.values()])

    with pyro.validation_enabled(False):
        graph = make_fx(gradient, tracing_mode="fake")(weights, buffers, X)
        torch.manual_seed(0)
        from_graph = graph(weights, buffers, X)
        torch.manual_seed(0)
        torch.testing.assert_close(from_graph, gradient(weights, buffers, X))


class Elbo(nn.Module):
    """The mean ELBO of some rows, as a module."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Tensor) -> Tensor:
        return ELBO()(self.vae.model, self.vae.guide, x).elbo.mean()


# Densities


def grid(dim: int, q: Distribution, steps: int) -> tuple[Tensor, float]:
    """Points (steps^dim, 1, dim) 10 standard deviations around q, and the volume."""
    axes = [
        torch.linspace(
            float(loc - 10 * scale), float(loc + 10 * scale), steps, dtype=torch.float64
        )
        for loc, scale in zip(q.mean[0], q.stddev[0], strict=True)
    ]
    volume = math.prod(float(axis[1] - axis[0]) for axis in axes)
    return torch.cartesian_prod(*axes).reshape(-1, 1, dim), volume


@pytest.mark.parametrize(
    ("name", "dim"),
    [(name, dim) for name in CASES for dim in (1, 2) if dim > (name in TWO_LEVELS)],
)
def test_densities_integrate_to_one_and_draws_follow_them(name: str, dim: int) -> None:
    torch.manual_seed(0)
    q = posterior(small(name, dim, spread=0.15).double(), X[:1].double())
    z, volume = grid(dim, q, 4001 if dim == 1 else 251)
    weight = q.log_prob(z).exp() * volume
    assert float(weight.sum()) == pytest.approx(1, abs=2e-4)
    draws = q.sample((20_000,))
    for f in (
        lambda z: z,
        lambda z: z.prod(-1, keepdim=True).tanh(),
        lambda z: (3 * (z - q.mean) / q.stddev).sigmoid(),
        torch.cos,
    ):
        expected = (weight.unsqueeze(-1) * f(z)).sum(0)
        found = f(draws)
        error = found.std(0) / math.sqrt(len(found))
        assert ((found.mean(0) - expected).abs() < SIGMAS * error + 2e-3).all()
