"""Multilayer perceptrons: plain, gated and residual."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from pyro_vae.networks.base import NETWORKS, Activation, Shape
from pyro_vae.networks.base import activation as named_activation


class Gated(nn.Module):
    """A gated linear layer: h = (W x + b) * sigmoid(V x + c).

    References:
        Language Modeling with Gated Convolutional Networks (Dauphin, Fan, Auli, Grangier, 2017).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.gate = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * torch.sigmoid(self.gate(x))


def _perceptron(
    in_shape: Shape,
    out_shape: Shape | None,
    hidden: Sequence[nn.Module],
    width: int,
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten(-len(in_shape)), *hidden]
    if out_shape is not None:
        last = nn.Linear(width, math.prod(out_shape))
        nn.init.zeros_(last.bias)
        layers += [last, nn.Unflatten(-1, out_shape)]
    return nn.Sequential(*layers)


@NETWORKS.register("mlp")
def mlp(
    in_shape: Shape,
    out_shape: Shape | None,
    *,
    hidden_dims: tuple[PositiveInt, ...] | None = None,
    activation: Activation | None = None,
) -> nn.Sequential:
    """A multilayer perceptron: linear layers with an activation between them.

    Arguments:
        in_shape: shape of one input; any number of leading dimensions may stand before it.
        out_shape: shape of one output; None ends after the last hidden layer.
        hidden_dims: widths of the hidden layers; none makes a linear map. None: the widths of the
            model.
        activation: its name in `torch.nn`. None: the activation of the model.

    Example:
        >>> mlp((8, 8), (2, 3), hidden_dims=(32,), activation="tanh")(torch.zeros(5, 8, 8)).shape
        torch.Size([5, 2, 3])
    """
    widths = (math.prod(in_shape), *(hidden_dims or ()))
    hidden: list[nn.Module] = []
    for before, after in pairwise(widths):
        hidden += [nn.Linear(before, after), named_activation(activation or "silu")]
    return _perceptron(in_shape, out_shape, hidden, widths[-1])


@NETWORKS.register("gated_mlp")
def gated_mlp(
    in_shape: Shape,
    out_shape: Shape | None,
    *,
    hidden_dims: tuple[PositiveInt, ...] | None = None,
) -> nn.Sequential:
    """A multilayer perceptron of gated linear layers.

    References:
        VAE with a VampPrior (Tomczak, Welling, 2018).

    Arguments:
        in_shape: shape of one input.
        out_shape: shape of one output; None ends after the last hidden layer.
        hidden_dims: widths of the hidden layers. None: the widths of the model.

    Example:
        >>> gated_mlp((64,), None, hidden_dims=(32, 16))(torch.zeros(5, 64)).shape
        torch.Size([5, 16])
    """
    widths = (math.prod(in_shape), *(hidden_dims or ()))
    hidden = [Gated(before, after) for before, after in pairwise(widths)]
    return _perceptron(in_shape, out_shape, hidden, widths[-1])


class Residual(nn.Module):
    """A residual block with its activation first: h + W a(LayerNorm(h)).

    References:
        Identity Mappings in Deep Residual Networks (He, Zhang, Ren, Sun, 2016).
        Layer Normalization (Ba, Kiros, Hinton, 2016).
    """

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width), named_activation(activation), nn.Linear(width, width)
        )

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = h + self.change(h)
        return out


@NETWORKS.register("residual")
def residual(
    in_shape: Shape,
    out_shape: Shape | None,
    *,
    hidden_dims: tuple[PositiveInt, ...] | None = None,
    activation: Activation | None = None,
) -> nn.Sequential:
    """A multilayer perceptron whose hidden layers after the first add to what comes before them.

    Arguments:
        in_shape: shape of one input.
        out_shape: shape of one output; None ends after the last hidden layer.
        hidden_dims: widths of the hidden layers, all equal. None: the widths of the model.
        activation: its name in `torch.nn`. None: the activation of the model.

    Raises:
        ValueError: no hidden layer, or widths that differ.

    Example:
        >>> residual((64,), (2, 3), hidden_dims=(32, 32, 32))(torch.zeros(5, 64)).shape
        torch.Size([5, 2, 3])
    """
    widths = hidden_dims or ()
    name = activation or "silu"
    if len(set(widths)) != 1:
        raise ValueError(
            "residual: expected hidden_dims of one width, since the layers are added, got "
            f"{tuple(widths)}; take equal widths, like (128, 128), or network 'mlp'"
        )
    width = widths[0]
    hidden: list[nn.Module] = [Residual(width, name) for _ in widths[1:]]
    hidden.insert(0, nn.Linear(math.prod(in_shape), width))
    hidden += [nn.LayerNorm(width), named_activation(name)]
    return _perceptron(in_shape, out_shape, hidden, width)
