"""What networks share: their registry, activations by name, a positive number, and the package of
flows.
"""

from typing import Annotated, Any

from pydantic import AfterValidator
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus
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


def positive(raw: Tensor, floor: float = 1e-4) -> Tensor:
    """A smooth map onto the numbers above `floor`: floor + log(1 + exp(raw)).

    Example:
        >>> import torch
        >>> positive(torch.tensor(-100.0))
        tensor(1.0000e-04)
    """
    return floor + softplus(raw)


def import_zuko() -> Any:
    """The package zuko. Importing it switches off torch's validation of distributions, so that is
    put back.

    Example:
        >>> before = Distribution._validate_args
        >>> import_zuko().__name__, Distribution._validate_args == before
        ('zuko', True)
    """
    validate = Distribution._validate_args
    import zuko

    Distribution.set_default_validate_args(validate)
    return zuko
