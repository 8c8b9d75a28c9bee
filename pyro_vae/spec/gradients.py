"""That training reaches every parameter of the parts that a user brings."""

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from pyro_vae.networks import Shape
from pyro_vae.spec.check import called, zeros_like


def require_training(
    slot: str, part: nn.Module, shapes: tuple[Shape, ...], trained: Collection[Tensor]
) -> None:
    """Raise ValueError where what a part gives depends on tensors that ask for gradients and would
    not be trained.
    """
    got = called(slot, part, *(zeros_like(part, shape) for shape in shapes), grad=True)
    known = {id(parameter) for parameter in trained}
    lost = [leaf for leaf in leaves(got) if id(leaf) not in known]
    if lost:
        shown = ", ".join(str(tuple(leaf.shape)) for leaf in lost)
        raise ValueError(
            f"{slot}: expected its parameters in a module, got tensors that require a gradient and "
            "that training would "
            f"not reach, of shape {shown}; pass an nn.Module that has them as nn.Parameter, or "
            "detach them"
        )


def leaves(value: Any) -> list[Tensor]:
    """The tensors that ask for gradients and that the tensors of a distribution are computed from."""
    nodes = [tensor.grad_fn for tensor in _tensors(value, set()) if tensor.grad_fn is not None]
    found = {
        id(tensor): tensor
        for tensor in _tensors(value, set())
        if tensor.is_leaf and tensor.requires_grad
    }
    seen: set[Any] = set()
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        nodes += [after for after, _ in node.next_functions if after is not None]
    return list(found.values())


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Every tensor inside a value: in lists, distributions, transforms and modules."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item, seen)
    elif isinstance(value, Distribution | Transform | nn.Module) and id(value) not in seen:
        seen.add(id(value))
        yield from value.parameters() if isinstance(value, nn.Module) else ()
        for item in vars(value).values():
            yield from _tensors(item, seen)
