"""The processor's vector instructions, as torch knows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FOUND = ("_arch_flags", "_is_avx512_bf16_supported", "_is_amx_fp16_supported")
"""What inductor changes in an object when it finds that the processor knows more than its class."""


@contextmanager
def without_trials() -> Iterator[None]:
    """Let inductor believe what torch says of the processor's vector instructions.

    Otherwise it compiles a small program for each set of instructions, and loads it in a Python of
    its own that imports torch: up to ten programs, a third of the time that the first graph of a
    machine takes. What torch says is about the processor. Whether the C++ compiler knows the
    instructions too is seen when the graph is compiled: where it doesn't, call `forget`, and
    compile without this.
    """
    from torch._inductor.cpu_vec_isa import VecISA  # slow, and only here

    trial = VecISA.check_build
    if trial is _believe:  # by another thread
        yield
        return
    VecISA.check_build = _believe  # type: ignore[method-assign]
    try:
        yield
    finally:
        VecISA.check_build = trial  # type: ignore[method-assign]


def _believe(self: Any, code: str) -> bool:
    return True


def forget() -> None:
    """Forget which vector instructions were found, so that each is tried by the next graph."""
    from torch._inductor import cpu_vec_isa

    cpu_vec_isa.valid_vec_isa_list.cache_clear()
    for instructions in cpu_vec_isa.supported_vec_isa_list:
        # what was found of a single one is kept in the object, and in caches of its methods
        for name in FOUND:
            vars(instructions).pop(name, None)
        for base in type(instructions).__mro__:
            for method in vars(base).values():
                if hasattr(method, "cache_clear"):
                    method.cache_clear()
