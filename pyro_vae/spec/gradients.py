"""The check that training reaches every parameter of a user's parts."""

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from pyro_vae.networks import Shape
from pyro_vae.spec.check import called, zeros_like


def require_training(
    slot: str, part: nn.Module, shapes: tuple[Shape, ...], trained: Collection[Tensor]
) -> None:
    """Raise ValueError where a part depends on tensors that require a gradient and aren't trained.

    Arguments:
        slot: of the part, for the message.
        part: of the user.
        shapes: of its inputs, for one row.
        trained: the parameters of the model.
    """
    zeros = [zeros_like(part, shape) for shape in shapes]
    got = called(slot, part, *zeros, grad=True)
    known = {id(parameter) for parameter in trained}
    lost = [leaf for leaf in leaves(got) if id(leaf) not in known]
    if lost:
        shown = ", ".join(str(tuple(leaf.shape)) for leaf in lost)
        raise ValueError(
            f"{slot}: expected its parameters in a module, got tensors that require a gradient and "
            f"that training would not reach, of shape {shown}; pass an nn.Module that has them as "
            "nn.Parameter, or detach them"
        )


def leaves(value: Any) -> list[Tensor]:
    """The leaves of the graph, requiring a gradient, that a distribution is computed from."""
    tensors = list(_tensors(value, set()))
    by_id = {
        id(tensor): tensor
        for tensor in tensors
        if tensor.is_leaf and tensor.requires_grad
    }
    nodes = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen: set[Any] = set()
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # a leaf
            by_id[id(node.variable)] = node.variable
        nodes += [before for before, _ in node.next_functions if before is not None]
    return list(by_id.values())


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Every tensor inside a value: in lists, distributions, transforms and modules."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item, seen)
    elif (
        isinstance(value, Distribution | Transform | nn.Module)
        and id(value) not in seen
    ):
        seen.add(id(value))
        if isinstance(value, nn.Module):
            yield from value.parameters()
        for item in vars(value).values():
            yield from _tensors(item, seen)
