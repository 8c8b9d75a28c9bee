"""The precision of float32 products inside a block, whichever of torch's switches a user has set.

torch has an old switch, `torch.set_float32_matmul_precision`, and since 2.9 one for each library,
such as `torch.backends.cuda.matmul.fp32_precision`. The old one sets the new ones too, and can't be
read after one of them was set to something else.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import torch

MatmulPrecision = Literal["highest", "high", "medium"]

MEANINGS: dict[MatmulPrecision, tuple[str, str]] = {
    "highest": ("ieee", "ieee"),
    "high": ("tf32", "tf32"),
    "medium": ("tf32", "bf16"),
}
"""What the old switch sets those of CUDA and of oneDNN to."""
INHERITED = "none"
"""A switch that follows the one above it, and shows its value."""


@contextmanager
def float32_products(precision: MatmulPrecision) -> Iterator[None]:
    """Inside the block float32 products have this precision; then all switches are as before.

    Arguments:
        precision: see `torch.set_float32_matmul_precision`: with "high" GPUs take TF32.

    Example:
        >>> with float32_products("high"):
        ...     torch.get_float32_matmul_precision()
        'high'
    """
    switches = _switches()
    before = [switch.fp32_precision for switch in switches]
    former = _old_switch(switches)
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(former)
        for switch, value in zip(switches, before, strict=True):
            _set_back(switch, value)


def _switches() -> list[Any]:
    """The new switches that the old one sets; none before torch 2.9."""
    onednn: Any = torch.backends.mkldnn
    if not hasattr(onednn, "matmul"):
        return []
    return [torch.backends.cuda.matmul, onednn.matmul]


def _old_switch(switches: list[Any]) -> str:
    """The value of the old switch, which can only be read where the new ones agree with it."""
    with suppress(RuntimeError):  # they don't
        return torch.get_float32_matmul_precision()
    for meaning in MEANINGS.values():
        for switch, value in zip(switches, meaning, strict=True):
            switch.fp32_precision = value
        with suppress(RuntimeError):
            return torch.get_float32_matmul_precision()
    return "highest"  # torch's default


def _set_back(switch: Any, value: str) -> None:
    """Set a switch so that it shows a value, by itself or by the one above it."""
    switch.fp32_precision = INHERITED
    if switch.fp32_precision != value:
        switch.fp32_precision = value
