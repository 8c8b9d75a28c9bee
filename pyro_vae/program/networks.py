"""Networks of torch's layers as source."""

import re
from collections.abc import Iterator

from torch import nn

from pyro_vae.networks.context import InEveryLayer
from pyro_vae.networks.perceptron import Gated, Residual
from pyro_vae.program.snippet import refuse

WIDTH = 92
"""Characters of a line."""


def network(module: nn.Module, part: str) -> str:
    """The expression that makes a network.

    Raises:
        ValueError: a layer that is neither torch's nor one of this library's networks.

    Example:
        >>> network(nn.Sequential(nn.Flatten(-1), nn.Linear(2, 3), nn.Tanh()), "encoder")
        'nn.Sequential(nn.Flatten(-1), nn.Linear(2, 3), nn.Tanh())'
    """
    if type(module) is nn.Sequential:
        layers = {name: network(layer, part) for name, layer in module._modules.items()}
        if list(layers) == [str(index) for index in range(len(layers))]:
            return f"nn.Sequential({', '.join(layers.values())})"
        named = ", ".join(f"{name!r}: {layer}" for name, layer in layers.items())
        return f"nn.Sequential(OrderedDict({{{named}}}))"
    if type(module) is InEveryLayer:
        return f"InEveryLayer({network(module.layers, part)}, {module.width})"
    if type(module) is Gated:
        linear = module.linear
        return f"Gated({linear.in_features}, {linear.out_features})"
    if type(module) is Residual:
        norm, activation, _ = module.change.children()
        width = next(norm.parameters()).numel()
        return f"Residual({width}, {network(activation, part)})"
    text = _layer(module)
    is_torch = type(module).__module__.startswith("torch.nn.")
    if not is_torch or not _makes(text, module):
        refuse(
            part,
            f"a module {type(module).__name__}",
            f"its class before VAE and what makes it after `self.{part} =`",
        )
    return text


def assigned(name: str, module: nn.Module) -> Iterator[str]:
    """The lines that assign a network, several layers in each.

    Raises:
        ValueError: a layer that is neither torch's nor one of this library's networks.
    """
    expression = network(module, name)
    line = f"self.{name} = {expression}"
    if len(line) <= WIDTH - 8:
        yield line
        return
    opening, _, layers = line.partition("(")
    yield f"{opening}("
    filled = ""
    for layer in re.split(r", (?=nn\.|Gated|Residual|')", layers[:-1]):
        if filled and len(f"{filled} {layer},") > WIDTH - 12:
            yield f"    {filled}"
            filled = ""
        filled = f"{filled} {layer},".lstrip()
    yield f"    {filled}"
    yield ")"


def _layer(module: nn.Module) -> str:
    """A layer of torch, in the short form of the layers that most networks have."""
    if type(module) is nn.Flatten and module.end_dim == -1:
        return f"nn.Flatten({module.start_dim})"
    if type(module) is nn.Unflatten:
        return f"nn.Unflatten({module.dim}, {tuple(module.unflattened_size)})"
    if type(module) is nn.Linear and module.bias is not None:
        return f"nn.Linear({module.in_features}, {module.out_features})"
    if type(module) is nn.LayerNorm:
        short = f"nn.LayerNorm({module.normalized_shape[0]})"
        if _makes(short, module):
            return short
    return f"nn.{module!r}"  # which is how torch writes the constructor


def _makes(text: str, module: nn.Module) -> bool:
    """Whether the source makes such a layer."""
    try:
        made = eval(text, {"nn": nn})
    except Exception:  # of a representation that is no constructor
        return False
    shapes, own = (
        {name: value.shape for name, value in layer.state_dict().items()}
        for layer in (made, module)
    )
    return type(made) is type(module) and shapes == own and repr(made) == repr(module)
