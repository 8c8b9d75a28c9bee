"""Networks: shapes, gradients, and shapes that are refused."""

from typing import Any

import pytest
import torch
from torch import nn

from pyro_vae import VAE, fit
from pyro_vae.networks import NETWORKS, Residual, conv, residual

IMAGES = [
    (8, 8),
    (28, 28),
    (28, 20),
    (9, 13),
    (17, 8),
    (1, 28, 28),
    (3, 16, 16),
    (2, 9, 11),
]
HIDDEN = {"hidden_dims": (12, 12)}
everywhere = pytest.mark.parametrize("shape", IMAGES, ids=str)


def check(network: nn.Module, inputs: torch.Tensor, shape: tuple[int, ...]) -> None:
    """The shape of the outputs, for any number of rows, and a gradient in every parameter."""
    assert network(inputs[:1]).shape == (1, *shape)
    outputs = network(inputs)
    assert outputs.shape == (len(inputs), *shape)
    outputs.square().sum().backward()
    parameters = dict(network.named_parameters())
    assert parameters
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@everywhere
@pytest.mark.parametrize("kind", ["mlp", "gated_mlp", "residual", "conv"])
def test_encoders(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    check(NETWORKS[kind](shape, None, **HIDDEN), torch.randn(5, *shape), (12,))


@everywhere
@pytest.mark.parametrize("kind", ["mlp", "gated_mlp", "residual", "conv"])
@pytest.mark.parametrize("lead", [(), (2,)], ids=str)
def test_decoders(kind: str, shape: tuple[int, ...], lead: tuple[int, ...]) -> None:
    """A likelihood with several parameters a number puts a dimension before those of the data."""
    torch.manual_seed(0)
    check(
        NETWORKS[kind]((3,), (*lead, *shape), **HIDDEN),
        torch.randn(5, 3),
        (*lead, *shape),
    )


@everywhere
@pytest.mark.parametrize(
    "likelihood", ["normal", {"kind": "normal", "scale": "decoder"}, "bernoulli"]
)
def test_images_train(shape: tuple[int, ...], likelihood: Any) -> None:
    network = {"kind": "conv", "channels": (3, 4, 5)}
    vae = VAE(
        data_shape=shape,
        latent_dim=2,
        likelihood=likelihood,
        encoder=network,
        decoder=network,
        hidden_dims=(8,),
    )
    x = (torch.rand(12, *shape) > 0.5).float()
    run = fit(vae, x, epochs=1, validation=None, progress=False)
    assert len(run.history) == 1
    assert vae.likelihood(torch.zeros(4, 7, 2)).mean.shape == (4, 7, *shape)


def last_linear(network: nn.Module) -> nn.Module:
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Linear | nn.ConvTranspose2d)
    ][-1]


@pytest.mark.parametrize("kind", ["mlp", "gated_mlp", "residual", "conv"])
def test_decoders_start_without_a_bias(kind: str) -> None:
    assert not last_linear(NETWORKS[kind]((3,), (2, 9, 11), **HIDDEN)).bias.any()


def test_convolutions_see_neighbours_and_nothing_else_sees_order() -> None:
    """One pixel of the smallest image reaches a patch, and no pixel outside it."""
    decoder = conv((2,), (28, 28), channels=(4, 4), **HIDDEN)
    small = decoder[0](torch.randn(1, 2)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(decoder[1:](small)[0, 0, 0], small)
    assert slope[..., :2, :2].any()
    assert not slope[..., 3:, 3:].any()


def test_the_number_of_channels_is_that_of_the_halvings() -> None:
    for count in (1, 2, 3):
        encoder = conv((28, 20), None, channels=(4,) * count)
        side = {1: 14 * 10, 2: 7 * 5, 3: 4 * 3}[count]
        assert encoder(torch.zeros(2, 28, 20)).shape == (2, 4 * side)


@pytest.mark.parametrize("shape", [(64,), (2, 3, 8, 8)], ids=str)
def test_rows_that_are_no_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"conv: expected data_shape \(height, width\).*mlp"
    ):
        VAE(data_shape=shape, encoder="conv")


def test_outputs_that_are_no_images_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"conv: expected the likelihood's parameters shaped \(\.\.\., height, width\)",
    ):
        VAE(data_shape=(64,), decoder="conv")
    with pytest.raises(ValueError, match="at least one number in channels"):
        conv((8, 8), None, channels=())


def test_residual_layers_add() -> None:
    block = Residual(4, "silu").double()
    h = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(
        block(h) - h, block.change[2](nn.functional.silu(block.change[0](h)))
    )
    assert (
        sum(
            isinstance(layer, Residual)
            for layer in residual((5,), None, hidden_dims=(4, 4, 4))
        )
        == 2
    )


@pytest.mark.parametrize("hidden_dims", [(), (8, 4)], ids=str)
def test_residual_widths_are_equal(hidden_dims: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"residual: expected hidden_dims of one width.*\(128, 128\)"
    ):
        VAE(data_shape=(4,), latent_dim=2, encoder="residual", hidden_dims=hidden_dims)


def test_an_unknown_activation_is_named() -> None:
    for kind in ("conv", "residual"):
        with pytest.raises(ValueError, match="did you mean 'silu'"):
            NETWORKS[kind]((8, 8), None, activation="silo", **HIDDEN)


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (9, 13, 4)], ids=str)
def test_channels_at_the_end_are_asked_about(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    message = (
        rf"looks like \(height, width, channels\); move the last axis, x\.transpose\(0, 3, 1, 2\), "
        rf"and take data_shape \({channels}, {height}, {width}\)"
    )
    with pytest.raises(ValueError, match=message):
        VAE(data_shape=shape, latent_dim=2, encoder="conv")
    VAE(data_shape=(channels, height, width), latent_dim=2, encoder="conv")
    VAE(data_shape=shape, latent_dim=2)
    if height == width:
        with pytest.raises(ValueError, match="looks like"):
            conv((2,), shape)


@pytest.mark.parametrize(
    "shape", [(2, 9, 3), (3, 16, 4), (4, 8, 1), (32, 5, 5)], ids=str
)
def test_channels_in_front_are_taken(shape: tuple[int, int, int]) -> None:
    assert conv(shape, None, **HIDDEN)(torch.zeros(1, *shape)).shape == (1, 12)
    assert conv((2,), (10, 28, 3), **HIDDEN)(torch.zeros(1, 2)).shape == (1, 10, 28, 3)
