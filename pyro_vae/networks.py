"""Networks: tensors to tensors. They know no probability.

A network constructor takes `in_shape` and `out_shape`. An encoder has no `out_shape`: it ends in features of any width,
which the guide projects. A decoder ends in the parameters of the likelihood, shaped `out_shape`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.modules import activation as activations

from pyro_vae.data import Statistics
from pyro_vae.registry import Registry, nearest

NETWORKS = Registry("network")
Shape = tuple[int, ...]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    name.lower(): getattr(activations, name)
    for name in activations.__all__
    if name not in {"MultiheadAttention", "GLU", "Threshold", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}
}


def activation(name: str) -> nn.Module:
    """The activation of that name in `torch.nn`, in any case: "tanh", "silu", "ReLU".

    Example:
        >>> activation("tanh")
        Tanh()
    """
    if name.lower() not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; {nearest(name.lower(), sorted(_ACTIVATIONS))}")
    return _ACTIVATIONS[name.lower()]()


def _known(name: str) -> str:
    activation(name)
    return name


Activation = Annotated[str, AfterValidator(_known)]


def positive(raw: Tensor, floor: float = 1e-4) -> Tensor:
    """A smooth map onto the numbers above `floor`: floor + log(1 + exp(raw)).

    Example:
        >>> positive(torch.tensor(-100.0))
        tensor(1.0000e-04)
    """
    return floor + softplus(raw)


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


def _perceptron(in_shape: Shape, out_shape: Shape | None, hidden: Sequence[nn.Module], width: int) -> nn.Sequential:
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
        hidden_dims: widths of the hidden layers; none makes a linear map. None: the widths of the model.
        activation: its name in `torch.nn`. None: the activation of the model.

    Example:
        >>> mlp((8, 8), (2, 3), hidden_dims=(32,), activation="tanh")(torch.zeros(5, 8, 8)).shape
        torch.Size([5, 2, 3])
    """
    widths = (math.prod(in_shape), *(hidden_dims or ()))
    hidden: list[nn.Module] = []
    for before, after in pairwise(widths):
        hidden += [nn.Linear(before, after), _activation(activation or "silu")]
    return _perceptron(in_shape, out_shape, hidden, widths[-1])


@NETWORKS.register("gated_mlp")
def gated_mlp(
    in_shape: Shape, out_shape: Shape | None, *, hidden_dims: tuple[PositiveInt, ...] | None = None
) -> nn.Sequential:
    """A multilayer perceptron of gated linear layers, the network of Tomczak and Welling (2018, VAE with a VampPrior).

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


_activation = activation  # `mlp` has an argument of that name


class Standardize(nn.Module):
    """Inputs in units of their spread: (x - mean) / std, with the statistics of the training rows.

    Until `start_from` it is the identity. While training it adds `noise` standard deviations of Gaussian noise, which
    makes an autoencoder a denoising one (Vincent et al., 2008, Extracting and Composing Robust Features with Denoising
    Autoencoders): the encoder sees corrupted inputs, the likelihood the data as given.

    Arguments:
        data_shape: shape of one row.
        mode: "feature": one mean and std each feature; "all": one mean and std for all; "none": the identity.
        noise: standard deviation of the corruption, in standardised units.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, data_shape: Shape, mode: Literal["feature", "all", "none"], noise: float = 0.0) -> None:
        super().__init__()
        self.mode, self.noise = mode, noise
        self.register_buffer("mean", torch.zeros(data_shape))
        self.register_buffer("std", torch.ones(data_shape))

    def start_from(self, data: Statistics) -> None:
        """Take the statistics of the training rows; a feature that never varies keeps its unit."""
        if self.mode == "none":
            return
        mean, std = data.mean, data.std
        if self.mode == "all":
            std = (std.square().mean() + mean.var(correction=0)).sqrt().expand_as(std)
            mean = mean.mean().expand_as(mean)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        standard = (x - self.mean) / self.std
        return standard + self.noise * torch.randn_like(standard) if self.training and self.noise else standard

    def extra_repr(self) -> str:
        return f"{tuple(self.mean.shape)}, mode={self.mode!r}, noise={self.noise}"
