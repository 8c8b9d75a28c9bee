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
    """A convolutional network, whose layers halve height and width in an encoder.

    An encoder is convolutions and then a perceptron; a decoder is its mirror image, whose layers
    double height and width, to any size. All dimensions of `out_shape` before height and width are
    channels of its last layer.

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
        ValueError: a shape that is no image, or has its channels last; no channels.

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
    in_shape: Shape,
    channels: Shape,
    hidden_dims: Shape,
    activation: str,
) -> nn.Sequential:
    if len(in_shape) not in {2, 3}:
        raise ValueError(
            "conv: expected data_shape (height, width) or (channels, height, width), got "
            f"{tuple(in_shape)}; reshape the rows, or take network 'mlp'"
        )
    _require_channels_first(in_shape)
    layers: list[nn.Module] = []
    if len(in_shape) == 2:
        layers.append(nn.Unflatten(1, (1, in_shape[0])))
    in_channels, *size = (1, *in_shape)[-3:]
    for before, after in pairwise((in_channels, *channels)):
        layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
        layers.append(named_activation(activation))
    small = _sizes(tuple(size), len(channels))[-1]
    features = (channels[-1], *small)
    perceptron = mlp(features, None, hidden_dims=hidden_dims, activation=activation)
    return nn.Sequential(*layers, perceptron)


def _decoder(
    in_shape: Shape,
    out_shape: Shape,
    channels: Shape,
    hidden_dims: Shape,
    activation: str,
) -> nn.Sequential:
    if len(out_shape) < 2:
        raise ValueError(
            "conv: expected the likelihood's parameters shaped (..., height, width), got "
            f"{tuple(out_shape)}; take data_shape (height, width) or (channels, height, width), or "
            "network 'mlp'"
        )
    if (
        out_shape[-3:-2] == out_shape[-2:-1]
    ):  # square, or else it may be of several parameters
        _require_channels_first(out_shape[-3:])
    *leading, height, width = out_shape
    sizes = _sizes((height, width), len(channels))
    features = (channels[-1], *sizes[-1])
    layers: list[nn.Module] = [
        mlp(in_shape, features, hidden_dims=hidden_dims, activation=activation)
    ]
    pairs = pairwise((*channels[::-1], math.prod(leading)))
    for (before, after), size in zip(pairs, sizes[-2::-1], strict=True):
        layers.append(named_activation(activation))
        layers.append(_double(before, after, size))
    nn.init.zeros_(layers[-1].get_parameter("bias"))
    layers.append(nn.Unflatten(1, tuple(leading)) if leading else nn.Flatten(1, 2))
    return nn.Sequential(*layers)


def _require_channels_first(shape: Shape) -> None:
    """Raise ValueError for (height, width, channels), such as (32, 32, 3)."""
    if len(shape) != 3:
        return
    first, second, last = shape
    if last in {1, 3, 4} and first > 4 and second > 4:
        raise ValueError(
            f"conv: expected data_shape (channels, height, width), got {tuple(shape)}, which looks "
            "like (height, width, channels); move the last axis, x.transpose(0, 3, 1, 2), and take "
            f"data_shape {(last, first, second)}; for {first} channels of width {last} take "
            "network 'mlp'"
        )


def _sizes(size: Shape, times: int) -> list[Shape]:
    """Height and width after 0, ..., `times` halvings, rounded up: (7, 4) -> (4, 2) -> (2, 1)."""
    return [
        tuple(math.ceil(length / 2**k) for length in size) for k in range(times + 1)
    ]


def _double(before: int, after: int, size: Shape) -> nn.ConvTranspose2d:
    """A layer from half of `size`, rounded up, to `size`."""
    # 2 n - odd = 2 (n - 1) - 2 padding + kernel + output_padding
    height, width = size
    odd = (height % 2, width % 2)
    padding = (1 + odd[0], 1 + odd[1])
    return nn.ConvTranspose2d(
        before, after, 4, stride=2, padding=padding, output_padding=odd
    )
