"""Groups of tensors in one file: each tensor has the name of its group and its own."""

from collections.abc import Iterator, Mapping

from torch import Tensor


def numbered(tensors: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a list by their positions, as text."""
    return ((str(index), tensor) for index, tensor in enumerate(tensors))


def group_of(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    """The tensors of a group, by their names in it."""
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU: two names of one weight have memory of their own in a file."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in tensors.items()
    }


def require_alike(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise ValueError for weights of other names or shapes than those of the model."""
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    others = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != others:
        raise ValueError("the best weights have other names or shapes than the model")
