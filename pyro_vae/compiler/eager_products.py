"""Layers whose large products oneDNN multiplies, without a compiler."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from pyro_vae.compiler.products import WORTH_A_CALL, by_onednn, library


class LayersByOneDNN(TorchFunctionMode):
    """Inside the block `torch.nn.functional.linear` takes oneDNN where that is faster.

    That is for large products of float32 on the processor; others stay as they are, and so do those
    inside of torch's tracers, autocast and function transforms.

    Example:
        >>> layer, x = nn.Linear(100, 100), torch.randn(100, 100)
        >>> with LayersByOneDNN():
        ...     found = layer(x)
        >>> torch.allclose(found, layer(x), atol=1e-5)
        True
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        if function is nn.functional.linear and _is_for_onednn(*arguments):
            return linear(*arguments, **(options or {}))
        return function(*arguments, **(options or {}))


_AS_THEY_ARE = nullcontext()


def products_of_layers() -> AbstractContextManager[Any]:
    """The block in which layers are multiplied by the library of the rule."""
    return LayersByOneDNN() if library() == "onednn" else _AS_THEY_ARE


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b by oneDNN, with gradients of any order.

    Arguments:
        x: (..., inputs).
        weight: W, (outputs, inputs).
        bias: b, (outputs,).
    """
    rows: Tensor = multiply(x.reshape(-1, x.shape[-1]), weight.t())
    if bias is not None:
        rows = rows + bias
    return rows.view(*x.shape[:-1], len(weight))


class _Product(torch.autograd.Function):
    """A B, with the gradients g Bᵀ and Aᵀ g."""

    @staticmethod
    def forward(context: Any, left: Tensor, right: Tensor) -> Tensor:
        context.save_for_backward(left, right)
        return by_onednn(left, right)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> tuple[Tensor | None, Tensor | None]:
        left, right = context.saved_tensors
        (gradient,) = gradients
        of_left, of_right = context.needs_input_grad
        return (
            multiply(gradient, right.t()) if of_left else None,
            multiply(left.t(), gradient) if of_right else None,
        )


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """A B by oneDNN, and for a small product by torch."""
    if left.shape[0] * right.numel() < WORTH_A_CALL:
        return left @ right
    product: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
        _with_strides(left), _with_strides(right)
    )
    return product


def _with_strides(matrix: Tensor) -> Tensor:
    """The matrix in memory of its own where it is one row or number again and again."""
    return matrix.contiguous() if 0 in matrix.stride() else matrix


def _is_for_onednn(x: Any = None, weight: Any = None, *rest: Any) -> bool:
    """Whether these are plain tensors whose product is large enough."""
    if type(x) is not Tensor or type(weight) not in {Tensor, nn.Parameter}:
        return False  # as in a tracer
    if x.dtype != torch.float32 or weight.dtype != torch.float32 or x.is_cuda:
        return False
    if x.numel() * len(weight) < WORTH_A_CALL:
        return False
    is_transformed = torch._C._functorch.peek_interpreter_stack() is not None
    is_dual = forward_ad._current_level >= 0
    return not (is_transformed or is_dual or torch.is_autocast_enabled("cpu"))
