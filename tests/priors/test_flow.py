"""Normalizing flows: the change of variables, its inverse, and an import that changes nothing."""

import subprocess
import sys
from textwrap import dedent

import pyro
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import Normal
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.networks.invertible import Coupling
from pyro_vae.priors import Flow
from tests.priors.families import CASES, build

TRANSFORMS = {
    name: CASES[name] for name in ("flow", "flow_autoregressive", "flow_spline")
}
every_transform = pytest.mark.parametrize("name", TRANSFORMS)


def flow(name: str, latent_dim: int) -> Flow:
    prior = build(name, latent_dim).double().prior
    assert isinstance(prior, Flow)
    return prior


def to_noise(prior: Flow, z: Tensor) -> Tensor:
    """ε = f(z)."""
    for layer in prior.layers:
        z, _ = layer(z)
    return z


@every_transform
@pytest.mark.parametrize("latent_dim", [2, 3, 5])
def test_the_density_is_the_change_of_variables(name: str, latent_dim: int) -> None:
    prior = flow(name, latent_dim)
    for z in torch.randn(
        4, latent_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ):
        log_det = jacobian(lambda z: to_noise(prior, z), z).det().abs().log()
        noise = to_noise(prior, z)
        assert not torch.allclose(noise, z, atol=0.01)
        torch.testing.assert_close(
            prior().log_prob(z), Normal(0, 1).log_prob(noise).sum() + log_det
        )


@every_transform
@pytest.mark.parametrize("latent_dim", [2, 3, 5])
def test_each_layer_is_invertible(name: str, latent_dim: int) -> None:
    z = 2 * torch.randn(
        50, latent_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    for layer in flow(name, latent_dim).layers:
        torch.testing.assert_close(layer.inverse(layer(z)[0]), z, atol=1e-9, rtol=1e-9)


@every_transform
@pytest.mark.parametrize("latent_dim", [2, 3])
def test_draws_are_noise_through_the_inverse(name: str, latent_dim: int) -> None:
    prior = flow(name, latent_dim)
    torch.manual_seed(1)
    z = prior().sample(torch.Size([7]))
    torch.manual_seed(1)
    noise = Normal(torch.zeros(latent_dim).double(), 1.0).sample(torch.Size([7]))
    torch.testing.assert_close(to_noise(prior, z), noise, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "latent_dim"),
    [
        (name, size)
        for name in TRANSFORMS
        for size in (1, 2, 5)
        if (name, size) != ("flow", 1)
    ],
)
def test_it_starts_at_the_standard_normal(name: str, latent_dim: int) -> None:
    options = {key: value for key, value in TRANSFORMS[name].items() if key != "kind"}
    z = torch.randn(
        20, latent_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    found = Flow(latent_dim, **options).double()().log_prob(z)
    torch.testing.assert_close(
        found, Normal(0, 1).log_prob(z).sum(-1), atol=1e-6, rtol=1e-6
    )


def test_couplings_need_two_numbers() -> None:
    with pytest.raises(ValueError, match="at least 2, got 1; take transform 'spline'"):
        Flow(1)


@pytest.mark.parametrize("latent_dim", [2, 5])
def test_two_couplings_move_every_number_by_others(latent_dim: int) -> None:
    prior = (
        build(
            "flow",
            latent_dim,
            prior={"kind": "flow", "transforms": 2, "hidden_dims": (6,)},
        )
        .double()
        .prior
    )
    slopes = jacobian(
        lambda z: to_noise(prior, z), torch.ones(latent_dim, dtype=torch.float64)
    )
    assert (slopes != 0).any(1).all()
    assert (slopes != torch.eye(latent_dim)).any(1).all()
    more = latent_dim - latent_dim // 2
    less = latent_dim // 2
    assert [layer.sizes for layer in prior.layers] == [(more, less), (less, more)]


def test_a_coupling_stays_invertible_whatever_its_network_says() -> None:
    coupling = Coupling(2, False, (4,))
    for parameter in coupling.parameters():
        parameter.data.mul_(50).add_(1)
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    moved, log_det = coupling(z)
    assert log_det.abs().max() <= 3
    torch.testing.assert_close(coupling.inverse(moved), z, atol=1e-3, rtol=1e-3)


@every_transform
def test_its_density_can_be_traced(name: str) -> None:
    """No operation depends on the numbers, so that a step can be compiled as one graph."""
    with pyro.validation_enabled(False):
        p = build(name, 3).prior()
        graph = make_fx(lambda z: p.log_prob(z))(torch.zeros(4, 3))
    calls = {str(node.target) for node in graph.graph.nodes}
    assert not [
        call
        for call in calls
        if "nonzero" in call or "_local_scalar" in call or "index_put" in call
    ]
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(graph(z), p.log_prob(z))


@pytest.mark.slow
def test_neither_import_nor_construction_changes_the_validation() -> None:
    """Importing zuko by itself switches the validation of all distributions off."""
    program = """
        import pyro, torch
        from torch.distributions import Distribution

        def flags():
            return Distribution._validate_args, pyro.settings.get()

        before = flags()
        from pyro_vae.priors import Flow
        assert flags() == before, flags()
        Flow(2, transform="spline")().log_prob(torch.zeros(2))
        assert flags() == before, flags()
        try:
            pyro.distributions.Normal(0.0, -1.0)
        except ValueError:
            print("validated")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "validated\n"
