"""A user's objects as parts of a model: modules, with a parameter store of their own for Pyro."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.kind_options import Custom, qualified_name
from pyro_vae.priors import Constant


class Function(nn.Module):
    """A user's function as a module without parameters."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


def is_own(slot: str, part: Any) -> bool:
    """Whether a part is a user's object, not the description of a kind.

    Raises:
        ValueError: a class where an object is expected.
    """
    if inspect.isclass(part):
        name = part.__name__
        raise ValueError(
            f"{slot}: expected an object, got the class {name}; pass {name}(...), or its name "
            "where it is registered"
        )
    return isinstance(part, Distribution) or callable(part)


def named(part: Any) -> Custom:
    """What a description stores of a user's object: the qualified name of its type."""
    part = getattr(part, "_orig_mod", part)  # inside the wrapper of torch.compile
    definition = part if inspect.isroutine(part) else type(part)
    return Custom(type=qualified_name(definition))


def adopted(slot: str, part: Any) -> nn.Module:
    """A user's object as a module of the model.

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
    """Forget the calls that checked a part.

    Pyro refuses to make a PyroModule part of another one after its first call.
    """
    for module in pyro_modules(part):
        module._pyro_context.used = False


def joined(root: PyroModule) -> None:
    """Give every PyroModule in a program the context of the program, and its path as name.

    Pyro does so only down to the first plain module; below it the parameters of two models would
    have the same names.
    """
    for name, module in root.named_modules():
        if isinstance(module, PyroModule) and module is not root:
            module._pyro_name = f"{root._pyro_name}.{name}"
            module._pyro_context = root._pyro_context


def random_weights(module: nn.Module) -> list[str]:
    """The names of the weights that are random variables: `PyroSample`."""
    names = []
    for path, part in module.named_modules():
        if isinstance(part, PyroModule):
            names += [
                f"{path}.{weight}" if path else weight for weight in part._pyro_samples
            ]
    return names


def require_fixed_weights(slot: str, module: nn.Module) -> None:
    """Raise ValueError where a part has random weights."""
    names = random_weights(module)
    if not names:
        return
    shown = [repr(name) for name in names[:3]]
    if len(names) > 3:
        shown.append("...")
    raise ValueError(
        f"{slot}: expected parameters, got random weights (PyroSample): {', '.join(shown)}; with "
        "them the rows depend on each other, and log p(x) of a row doesn't exist by itself. Take "
        "nn.Parameter or PyroParam; or set PyroSample on the finished vae.model and use Pyro's "
        "own inference on it"
    )
