"""What a user's part becomes when a model takes it in: a module, with a place of its own for Pyro's
parameters.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.priors import Constant
from pyro_vae.registry import Custom, place


class Function(nn.Module):
    """A function of the user's as a module: it has no parameters, and makes its tensors itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


def is_own(slot: str, part: Any) -> bool:
    """Whether a part is an object of the user's, not the description of a kind.

    Raises:
        ValueError: a class where an object is expected.
    """
    if inspect.isclass(part):
        raise ValueError(
            f"{slot}: expected an object, got the class {part.__name__}; pass "
            f"{part.__name__}(...), or its name where it is registered"
        )
    return isinstance(part, Distribution) or callable(part)


def named(part: Any) -> Custom:
    """What a description keeps of a user's object: where its type is defined, without the wrapper
    of torch.compile.
    """
    part = getattr(part, "_orig_mod", part)
    return Custom(type=place(part if inspect.isroutine(part) else type(part)))


def adopted(slot: str, part: Any) -> nn.Module:
    """A user's object as a module that the model can hold.

    Raises:
        ValueError: random weights, which are no part of p(x, z).
    """
    if isinstance(part, Distribution):
        return Constant(part)
    if not isinstance(part, nn.Module):
        return Function(part)
    require_fixed_weights(slot, part)
    for module in pyro_modules(part):
        if not hasattr(module._pyro_context, "param_state"):
            module._pyro_context.param_state = {"params": {}, "constraints": {}}
    return part


def pyro_modules(module: nn.Module) -> Iterator[Any]:
    """The PyroModules in a module, also those below plain modules."""
    return (part for part in module.modules() if isinstance(part, PyroModule))


def unused(part: nn.Module) -> None:
    """Forget the calls that checked a part: Pyro takes no PyroModule into another after its first
    call.
    """
    for module in pyro_modules(part):
        module._pyro_context.used = False


def joined(root: PyroModule) -> None:
    """Give every PyroModule in a program the program's context, and its place as name.

    Pyro does so itself down to the first plain module: below it two models would have parameters of
    one name.
    """
    for name, module in root.named_modules():
        if isinstance(module, PyroModule) and module is not root:
            module._pyro_name = f"{root._pyro_name}.{name}"
            module._pyro_context = root._pyro_context


def random_weights(module: nn.Module) -> list[str]:
    """The weights that Pyro would draw instead of reading: `PyroSample`."""
    return [
        ".".join(filter(None, (name, weight)))
        for name, part in module.named_modules()
        if isinstance(part, PyroModule)
        for weight in part._pyro_samples
    ]


def require_fixed_weights(slot: str, module: nn.Module) -> None:
    """Raise ValueError where a part has weights that are drawn."""
    if found := random_weights(module):
        shown = ", ".join(map(repr, found[:3])) + (", ..." if len(found) > 3 else "")
        raise ValueError(
            f"{slot}: expected parameters, got random weights (PyroSample): {shown}; with them the "
            "rows depend on each other, and log p(x) of a row doesn't exist by itself. Take "
            "nn.Parameter or PyroParam; or set PyroSample on the finished vae.model and use Pyro's "
            "own inference on it"
        )
