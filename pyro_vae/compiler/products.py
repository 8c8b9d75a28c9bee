"""Which library multiplies large matrices: MKL, torch's own choice, or oneDNN.

MKL keeps to AVX2 on processors of AMD: one with AVX-512 multiplied 105 GFLOP/s on one core, where
oneDNN, which comes with torch too, did 210 to 245. On Intel's MKL is ahead.
"""

import functools
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Library = Literal["mkl", "onednn"]
Choice = Literal["auto", "mkl", "onednn"]

VARIABLE = "PYRO_VAE_PRODUCTS"
"""The environment variable that names a library, or "auto"."""
WORTH_A_CALL = 1_000_000
"""Multiply-adds in a product, below which a call of oneDNN costs more than it gains."""
CPU_INFO = Path("/proc/cpuinfo")


_choice: ContextVar[Choice] = ContextVar("choice", default="auto")


@contextmanager
def multiplied_by(choice: Choice) -> Iterator[None]:
    """Products inside the block are made by this library, whatever the environment variable says.

    Raises:
        ValueError: another name.

    Example:
        >>> with multiplied_by("mkl"):
        ...     library()
        'mkl'
    """
    if choice not in get_args(Choice):
        raise ValueError(
            f"multiplied_by: expected 'auto', 'mkl' or 'onednn', got {choice!r}; take one of these"
        )
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def library() -> Library:
    """What multiplies large matrices: as the environment variable says, or by the processor.

    It is a rule and no measurement, so that a seed gives the same numbers each time on a machine.

    Raises:
        ValueError: the environment variable has another value.
    """
    choice = _choice.get()
    if choice == "auto":
        choice = os.environ.get(VARIABLE, "auto")  # type: ignore[assignment]
    if choice not in get_args(Choice):
        raise ValueError(
            f"environment variable {VARIABLE}: expected 'auto', 'mkl' or 'onednn', got {choice!r}; "
            "unset it, or take one of these"
        )
    if choice == "auto":
        return of_processor()
    return "onednn" if choice == "onednn" and has_onednn() else "mkl"


@functools.cache
def of_processor() -> Library:
    """oneDNN on an AMD processor with AVX-512, and elsewhere MKL."""
    is_wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "onednn" if is_wide and has_onednn() and _is_of_amd() else "mkl"


def has_onednn() -> bool:
    """Whether this torch has oneDNN, with the product that graphs can call."""
    is_built = torch.backends.mkldnn.is_available()
    return is_built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _is_of_amd() -> bool:
    if CPU_INFO.exists():
        return "AuthenticAMD" in CPU_INFO.read_text()
    return "AuthenticAMD" in platform.processor()


def by_onednn(left: Tensor, right: Tensor) -> Tensor:
    """A B by oneDNN, without a gradient."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(
        left, right.t(), None, "none", [], ""
    )
    return found


def described(side: int = 1024) -> str:
    """Which library multiplies here, and at what rates, in one line.

    Arguments:
        side: rows and columns of the matrices that are multiplied to measure it.
    """
    chosen = library()
    left, right = torch.rand(2, side, side)
    products: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mkl": torch.mm}
    if has_onednn():
        products["onednn"] = by_onednn
    rates = [
        f"{name} {_rate(product, left, right):.0f}"
        for name, product in products.items()
    ]
    count = torch.get_num_threads()
    threads = "1 thread" if count == 1 else f"{count} threads"
    return (
        f"products: {chosen}; GFLOP/s with {threads}: {', '.join(rates)}; "
        f"{VARIABLE}=mkl or onednn overrules it"
    )


def _rate(
    product: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor
) -> float:
    """The best of five, in billions of operations a second."""
    product(left, right)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        product(left, right)
        seconds.append(time.perf_counter() - began)
    operations = 2 * left.shape[0] * left.shape[1] * right.shape[1]
    return operations / min(seconds) / 1e9


def decomposed(left: Tensor, right: Tensor) -> Any:
    """`torch.mm` in a graph: A B by oneDNN where that is faster, else as it is."""
    inner, columns = right.shape
    count = left.shape[0] * inner * columns
    is_large = count >= WORTH_A_CALL and left.dtype == torch.float32
    if not is_large or left.device.type != "cpu" or library() == "mkl":
        return NotImplemented
    return _product()(left, right.t())


@functools.cache
def _product() -> Any:
    """The operation x wᵀ by oneDNN, with what torch's compiler makes of it.

    torch's own operation wants weights that are constants of the graph, and in training they are
    not.
    """
    from torch._inductor import mkldnn_ir
    from torch._inductor.ir import TensorBox
    from torch._inductor.lowering import register_lowering

    @torch.library.custom_op("pyro_vae::product", mutates_args=())
    def product(x: Tensor, w: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
        return found

    @product.register_fake
    def shape(x: Tensor, w: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], w.shape[0])

    operation = torch.ops.pyro_vae.product.default

    @register_lowering(operation, type_promotion_kind=None)
    def lowered(x: Any, w: Any) -> Any:
        made = mkldnn_ir.LinearUnary.create(x, w, None, "none", [], "")
        return TensorBox.create(made)

    return operation
