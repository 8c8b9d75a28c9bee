"""Large products of eager layers by oneDNN, which is forced here: the numbers are torch's."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import linear

from pyro_vae import VAE, evidence
from pyro_vae.compiler import eager_products, products
from pyro_vae.compiler.eager_products import LayersByOneDNN
from pyro_vae.objectives import ELBO
from pyro_vae.training import State
from pyro_vae.training.train_step import step

pytestmark = pytest.mark.skipif(
    not products.has_onednn(), reason="this torch has no oneDNN"
)
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-4}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the products that oneDNN has made."""
    made: list[tuple[int, ...]] = []
    by_onednn = eager_products.by_onednn

    def counted(left: Tensor, right: Tensor) -> Tensor:
        made.append((*left.shape, right.shape[1]))
        return by_onednn(left, right)

    monkeypatch.setattr(eager_products, "by_onednn", counted)
    return made


@pytest.mark.parametrize("shape", [(120, 130), (2, 60, 130)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients(
    shape: tuple[int, ...], with_bias: bool, calls: list[tuple[int, ...]]
) -> None:
    """The values, and the gradients of the gradients, of inputs, weights and bias."""
    generator = torch.Generator().manual_seed(0)
    shapes = [shape, (140, 130), *([(140,)] if with_bias else [])]
    inputs = [torch.randn(one, generator=generator).requires_grad_() for one in shapes]
    found = []
    for mode in (LayersByOneDNN(), torch.enable_grad()):
        with mode:
            y = linear(*inputs)
            slopes = torch.autograd.grad(y.tanh().sum(), inputs, create_graph=True)
            square = sum((slope**2).mean() for slope in slopes)
        found.append([y, *slopes, *torch.autograd.grad(square, inputs)])
    torch.testing.assert_close(*found, **CLOSE)
    assert (120, 130, 140) in calls
    assert (120, 140, 130) in calls
    assert {(140, 120, 130), (130, 120, 140)} & set(calls)


def test_a_gradient_that_is_one_number_again_and_again() -> None:
    x = torch.randn(120, 130, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(140, 130, requires_grad=True)
    with LayersByOneDNN():
        linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(140, 130), **CLOSE)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_what_stays_as_it_is(calls: list[tuple[int, ...]]) -> None:
    """Small products, other dtypes, autocast, function transforms, and other operations."""
    x = torch.randn(120, 130)
    layer = nn.Linear(130, 140)
    with LayersByOneDNN():
        layer(x[:50])
        nn.Linear(130, 140).double()(x.double())
        x @ x.t()
        linear(input=x, weight=layer.weight)
        torch.func.vmap(layer)(x.expand(3, 120, 130))
        with forward_ad.dual_level():
            layer(forward_ad.make_dual(x, x))
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
    assert calls == []


def trained(choice: products.Choice) -> tuple[list[Tensor], Tensor]:
    """The weights after three steps, and log p(x)."""
    vae = VAE(data_shape=(200,), latent_dim=4, hidden_dims=(100,), seed=0)
    optimizer = torch.optim.Adam(vae.parameters(), eps=1e-3, fused=True)
    state = State(vae, ELBO(), optimizer)
    x = torch.rand(100, 200, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(0)
    with products.multiplied_by(choice):
        for _ in range(3):
            state, _ = step(state, x)
        found = evidence(
            vae, x[:20], num_particles=100, proposal="guide", compile="off"
        )
    weights = [weight.detach() for weight in vae.parameters()]
    return weights, torch.tensor(found.log_marginal)


def test_steps_and_evidence(calls: list[tuple[int, ...]]) -> None:
    """Each layer with a million multiply-adds takes it, in fits and in evidence."""
    weights, log_marginal = trained("mkl")
    assert calls == []
    found, its_log_marginal = trained("onednn")
    assert calls
    torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(its_log_marginal, log_marginal, rtol=1e-6, atol=1e-3)
