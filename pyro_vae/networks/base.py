"""What networks share: their registry, and activations by name."""

from typing import Annotated

from pydantic import AfterValidator
from torch import nn
from torch.nn.modules import activation as activations

from pyro_vae.explain import nearest
from pyro_vae.registry import Registry

NETWORKS = Registry("network")
Shape = tuple[int, ...]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    name.lower(): getattr(activations, name)
    for name in activations.__all__
    if name
    not in {
        "MultiheadAttention",
        "GLU",
        "Threshold",
        "Softmin",
        "Softmax",
        "Softmax2d",
        "LogSoftmax",
    }
}


def activation(name: str) -> nn.Module:
    """The activation of that name in `torch.nn`, in any case: "tanh", "silu", "ReLU".

    Example:
        >>> activation("tanh")
        Tanh()
    """
    if name.lower() not in _ACTIVATIONS:
        raise ValueError(
            f"unknown activation {name!r}; {nearest(name.lower(), sorted(_ACTIVATIONS))}"
        )
    return _ACTIVATIONS[name.lower()]()


def _known(name: str) -> str:
    activation(name)
    return name


Activation = Annotated[str, AfterValidator(_known)]
