"""Translations to ONNX that keep the digits of float64, and that onnxruntime has in float64.

The ones of torch round the numbers of a program to float32, and take an operation Softplus of which
onnxruntime has float32 alone.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch

__all__ = ["translations"]

FLOAT32, NOT_GIVEN = 1, -1
"""Types of tensors as ONNX counts them."""


def translations() -> dict[Any, Any]:
    """By operation of torch; the packages for ONNX are installed."""
    op = import_module("onnxscript").opset18
    tensor = import_module("onnxscript").ir.tensor

    def constant(value: float) -> Any:
        return op.Constant(value=tensor(np.float64(value)))

    def scalar_tensor(
        s: float,
        dtype: int = FLOAT32,
        layout: str = "",
        device: str = "",
        pin_memory: bool = False,
    ) -> Any:
        return op.Cast(constant(s), to=dtype)

    def full_like(
        self: Any,
        fill_value: float,
        dtype: int = NOT_GIVEN,
        layout: str = "",
        device: str = "",
        pin_memory: bool = False,
        memory_format: str = "",
    ) -> Any:
        value = op.CastLike(constant(fill_value), self)
        if dtype != NOT_GIVEN:
            value = op.Cast(constant(fill_value), to=dtype)
        return op.Expand(value, op.Shape(self))

    def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        slope = op.CastLike(constant(beta), x)
        scaled = op.Mul(x, slope)
        below = op.Exp(op.Neg(op.Abs(scaled)))
        one = op.CastLike(constant(1.0), x)
        smooth = op.Div(op.Add(op.Relu(scaled), op.Log(op.Add(one, below))), slope)
        is_far = op.Greater(scaled, op.CastLike(constant(threshold), x))
        return op.Where(is_far, x, smooth)

    aten = torch.ops.aten
    return {
        aten.scalar_tensor.default: scalar_tensor,
        aten.full_like.default: full_like,
        aten.softplus.default: softplus,
    }
