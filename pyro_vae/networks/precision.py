"""The precision in which encoder and decoder are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["full", "bf16-mixed"]
MatmulPrecision = Literal["highest", "high", "medium"]

_autocast: ContextVar[torch.dtype | None] = ContextVar("autocast", default=None)


@contextmanager
def mixed_precision(
    precision: Precision, matmul_precision: MatmulPrecision = "highest"
) -> Iterator[None]:
    """Encoders and decoders multiply in bfloat16 inside the block; their parameters and outputs
    keep their type.

    Densities are sums over many terms, for which bfloat16 has too few digits, so nothing else is
    rounded.

    Arguments:
        precision: "bf16-mixed", or "full" for the parameters' own type.
        matmul_precision: what torch may do to products of float32,
            `torch.set_float32_matmul_precision`: with "high" GPUs take TF32. As before after the
            block.

    Example:
        >>> layer, x = nn.Linear(100, 1), torch.ones(1, 100)
        >>> with mixed_precision("bf16-mixed"):
        ...     rounded = autocast(layer, x)
        >>> rounded.dtype, bool(rounded == layer(x))
        (torch.float32, False)
    """
    before = torch.get_float32_matmul_precision()
    token = _autocast.set(torch.bfloat16 if precision == "bf16-mixed" else None)
    torch.set_float32_matmul_precision(matmul_precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        _autocast.reset(token)


def autocast(network: nn.Module, x: Tensor) -> Tensor:
    """`network(x)` in the precision of the enclosing `mixed_precision`, as a tensor of x's type."""
    dtype = _autocast.get()
    if dtype is None:
        output: Tensor = network(x)
        return output
    with torch.autocast(x.device.type, dtype, cache_enabled=False):
        rounded: Tensor = network(x)
    return rounded.to(x.dtype)
