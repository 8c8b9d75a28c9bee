"""Convolutions: images to features by strides, and back by transposed convolutions."""

import math
from itertools import pairwise

from pydantic import PositiveInt
from torch import nn

from pyro_vae.networks.base import NETWORKS, Activation, Shape
from pyro_vae.networks.base import activation as named_activation
from pyro_vae.networks.perceptron import mlp


@NETWORKS.register("conv")
def conv(
    in_shape: Shape,
    out_shape: Shape | None,
    *,
    channels: tuple[PositiveInt, ...] = (32, 64),
    hidden_dims: tuple[PositiveInt, ...] | None = None,
    activation: Activation | None = None,
) -> nn.Sequential:
    """A convolutional network: each layer of an encoder halves height and width, each of a decoder
    doubles them.

    An encoder is convolutions and then a perceptron; a decoder is its mirror image, to any height
    and width. All dimensions of `out_shape` before height and width are channels of its last layer.

    References:
        Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks
        (Radford, Metz, Chintala, 2016).

    Arguments:
        in_shape: of an encoder: (height, width) or (channels, height, width).
        out_shape: of a decoder: (..., height, width); None makes an encoder.
        channels: of the convolutions, from the image inwards.
        hidden_dims: widths of the perceptron's layers. None: the widths of the model.
        activation: its name in `torch.nn`. None: the activation of the model.

    Raises:
        ValueError: a shape that is no image; no channels.

    Example:
        >>> import torch
        >>> conv((28, 28), None, hidden_dims=(16,))(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 16])
        >>> conv((2,), (3, 28, 20), hidden_dims=(16,))(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 28, 20])
    """
    if not channels:
        raise ValueError(
            "conv: expected at least one number in channels, got (); take network 'mlp' for none"
        )
    name = activation or "silu"
    if out_shape is None:
        return _encoder(in_shape, channels, hidden_dims or (), name)
    return _decoder(in_shape, out_shape, channels, hidden_dims or (), name)


def _encoder(
    in_shape: Shape, channels: Shape, hidden_dims: Shape, activation: str
) -> nn.Sequential:
    if len(in_shape) not in {2, 3}:
        raise ValueError(
            "conv: expected data_shape (height, width) or (channels, height, width), got "
            f"{tuple(in_shape)}; reshape the rows, or take network 'mlp'"
        )
    image = (1, *in_shape)[-3:]
    layers: list[nn.Module] = [nn.Unflatten(1, (1, in_shape[0]))] if len(in_shape) == 2 else []
    for before, after in pairwise((image[0], *channels)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), named_activation(activation)]
    small = _sizes(image[1:], len(channels))[-1]
    return nn.Sequential(
        *layers, mlp((channels[-1], *small), None, hidden_dims=hidden_dims, activation=activation)
    )


def _decoder(
    in_shape: Shape, out_shape: Shape, channels: Shape, hidden_dims: Shape, activation: str
) -> nn.Sequential:
    if len(out_shape) < 2:
        raise ValueError(
            "conv: expected the likelihood's parameters shaped (..., height, width), got "
            f"{tuple(out_shape)}; take data_shape (height, width) or (channels, height, width), or "
            "network 'mlp'"
        )
    *lead, height, width = out_shape
    sizes = _sizes((height, width), len(channels))
    perceptron = mlp(
        in_shape, (channels[-1], *sizes[-1]), hidden_dims=hidden_dims, activation=activation
    )
    steps = zip(pairwise((*channels[::-1], math.prod(lead))), sizes[-2::-1], strict=True)
    doubled = [_double(before, after, size) for (before, after), size in steps]
    nn.init.zeros_(doubled[-1].get_parameter("bias"))
    layers = [layer for double in doubled for layer in (named_activation(activation), double)]
    return nn.Sequential(
        perceptron, *layers, nn.Unflatten(1, tuple(lead)) if lead else nn.Flatten(1, 2)
    )


def _sizes(size: Shape, times: int) -> list[Shape]:
    """Height and width after 0, 1, ..., `times` halvings, rounded up: (7, 4) -> (4, 2) -> (2, 1)."""
    return [tuple(math.ceil(length / 2**k) for length in size) for k in range(times + 1)]


def _double(before: int, after: int, size: Shape) -> nn.ConvTranspose2d:
    """From half of `size`, rounded up, to `size`: 2 n - odd = 2 (n - 1) - 2 padding + kernel +
    output_padding.
    """
    odd = tuple(length % 2 for length in size)
    padding = (1 + odd[0], 1 + odd[1])
    return nn.ConvTranspose2d(
        before, after, 4, stride=2, padding=padding, output_padding=(odd[0], odd[1])
    )
