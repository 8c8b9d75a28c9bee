"""The norm of a gradient, and the gradient clipped to a norm; the same in every kind of step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

TINY = 1e-6
"""What torch's `clip_grads_with_norm_` adds to a norm before it divides by it."""


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients together; `get_total_norm` of torch first sorts them by device.

    Example:
        >>> total_norm([torch.tensor([3.0, 0.0]), torch.tensor(4.0)])
        tensor(5.)
    """
    norms = torch._foreach_norm(list(gradients))
    return torch.stack(norms).norm()


def clipped(
    gradients: Sequence[Tensor], clip_norm: float | None, *, in_graph: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The norm of all gradients together, and the gradients clipped to it as torch does.

    torch's own function changes the `grad` of parameters, which a graph doesn't have.

    Arguments:
        gradients: of each weight.
        clip_norm: the norm; None leaves the gradients as they are.
        in_graph: whether this is compiled, so that operations on single tensors become one with
            those before and after; else calls over all tensors are faster.

    Example:
        >>> norm, (shorter,) = clipped([torch.tensor([3.0, 4.0])], 1.0)
        >>> norm, shorter
        (tensor(5.), tensor([0.6000, 0.8000]))
    """
    if in_graph:
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    else:
        norm = total_norm(gradients)
    if clip_norm is None:
        return norm, list(gradients)
    factor = (clip_norm / (norm + TINY)).clamp(max=1.0)
    if in_graph:
        return norm, [factor * gradient for gradient in gradients]
    return norm, list(torch._foreach_mul(list(gradients), factor))


def clip_gradient(
    parameters: Sequence[nn.Parameter], clip_norm: float | None
) -> Tensor:
    """Clip the gradients of parameters where they are; their norm before that.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_gradient([weight], 1.0), weight.grad
        (tensor(5.), tensor([0.6000, 0.8000]))
    """
    reached = [one for one in parameters if one.grad is not None]
    gradients = [one.grad for one in reached if one.grad is not None]
    norm, shorter = clipped(gradients, clip_norm)
    for parameter, gradient in zip(reached, shorter, strict=True):
        parameter.grad = gradient
    return norm
