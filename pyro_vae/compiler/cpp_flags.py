"""How the C++ of a graph is compiled: in less time, to the same numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WITHOUT_PRECOMPILED_HEADERS = {"cpp_cache_precompile_headers": False}
"""Compiler option: making them takes 4 processor seconds and 150 MB, and saves 0.6 for each graph.

The environment variable TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS is for those who compile many.
"""
USUAL = "O3"
FASTER = "O2"


@contextmanager
def at_lower_level() -> Iterator[None]:
    """Let the C++ compiler optimise at -O2 where inductor asks for -O3.

    inductor writes vector instructions itself, so that no step was faster with -O3, which takes
    half as long again. Where torch has another name for the function, nothing changes.
    """
    from torch._inductor import cpp_builder  # slow, and only here

    flags = getattr(cpp_builder, "_get_optimization_cflags", None)
    if flags is None or hasattr(flags, "is_lowered"):  # by another thread
        yield
        return
    cpp_builder._get_optimization_cflags = _lowered(flags)
    try:
        yield
    finally:
        cpp_builder._get_optimization_cflags = flags


def _lowered(flags: Callable[..., Any]) -> Callable[..., Any]:
    def lowered(*arguments: Any, **options: Any) -> tuple[list[str], list[str]]:
        compiling, linking = flags(*arguments, **options)
        return [FASTER if flag == USUAL else flag for flag in compiling], linking

    lowered.is_lowered = True  # type: ignore[attr-defined]
    return lowered
