"""The numbers in which the products of encoder and decoder are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn

Products = Literal["float32", "bfloat16"]
Float32Products = Literal["highest", "high", "medium"]

_products: ContextVar[torch.dtype | None] = ContextVar("products", default=None)


@contextmanager
def products_in(
    products: Products, float32_products: Float32Products = "highest"
) -> Iterator[None]:
    """Encoders and decoders multiply in bfloat16 inside the block; their parameters and outputs
    stay as they are.

    Densities are sums over many terms, for which bfloat16 has too few digits, so nothing else is
    rounded.

    Arguments:
        products: "bfloat16", or "float32" for the parameters' own type.
        float32_products: what torch may do to products of float32,
            `torch.set_float32_matmul_precision`: with "high" GPUs take TF32. As before after the
            block.

    Example:
        >>> layer, x = nn.Linear(100, 1), torch.ones(1, 100)
        >>> with products_in("bfloat16"):
        ...     rounded = products(layer, x)
        >>> rounded.dtype, bool(rounded == layer(x))
        (torch.float32, False)
    """
    before = torch.get_float32_matmul_precision()
    token = _products.set(torch.bfloat16 if products == "bfloat16" else None)
    torch.set_float32_matmul_precision(float32_products)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        _products.reset(token)


def products(network: nn.Module, x: Tensor) -> Tensor:
    """`network(x)`, its products in the numbers of now, its outputs in the type of x."""
    dtype = _products.get()
    if dtype is None:
        found: Tensor = network(x)
        return found
    with torch.autocast(x.device.type, dtype, cache_enabled=False):
        rounded: Tensor = network(x)
    return rounded.to(x.dtype)
