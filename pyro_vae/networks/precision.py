"""The precision in which encoder and decoder are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.compiler.eager_products import products_of_layers
from pyro_vae.networks.matmul_precision import MatmulPrecision, float32_products

Precision = Literal["full", "bf16-mixed"]

_autocast: ContextVar[torch.dtype | None] = ContextVar("autocast", default=None)


@contextmanager
def mixed_precision(
    precision: Precision, matmul_precision: MatmulPrecision = "highest"
) -> Iterator[None]:
    """Encoders and decoders multiply in bfloat16 inside the block, with parameters of any dtype.

    Densities are sums over many terms, for which bfloat16 has too few digits, so nothing else is
    rounded.

    Arguments:
        precision: "bf16-mixed", or "full" for the dtype of the parameters.
        matmul_precision: of float32 products inside the block, see
            `torch.set_float32_matmul_precision`: with "high" GPUs take TF32.

    Example:
        >>> layer, x = nn.Linear(100, 1), torch.ones(1, 100)
        >>> with mixed_precision("bf16-mixed"):
        ...     rounded = autocast(layer, x)
        >>> rounded.dtype, bool(rounded == layer(x))
        (torch.float32, False)
    """
    dtype = torch.bfloat16 if precision == "bf16-mixed" else None
    token = _autocast.set(dtype)
    try:
        with float32_products(matmul_precision):
            yield
    finally:
        _autocast.reset(token)


def autocast(network: nn.Module, x: Tensor, *given: Tensor) -> Tensor:
    """`network(x, ...)` in the precision of the enclosing `mixed_precision`, in the dtype of x."""
    dtype = _autocast.get()
    if dtype is None:
        with products_of_layers():
            output: Tensor = network(x, *given)
        return output
    with torch.autocast(x.device.type, dtype, cache_enabled=False):
        rounded: Tensor = network(x, *given)
    return rounded.to(x.dtype)
