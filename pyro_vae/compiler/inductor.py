"""Functions as graphs of tensor operations, and graphs compiled by torch's compiler."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.compiler import saved_graphs, vector_instructions
from pyro_vae.compiler.cpp_flags import WITHOUT_PRECOMPILED_HEADERS, at_lower_level
from pyro_vae.compiler.decompositions import Decompositions
from pyro_vae.compiler.process_state import process_unchanged

CPP_WRAPPER = {"cpp_wrapper": True}
"""The graph is called from C++."""
SAME_RANDOM_NUMBERS = {"fallback_random": True}
"""Random numbers are those that torch draws without a compiler."""
PRECOMPILED_HEADERS = "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"
"""The environment variable that asks for them."""
FUSED_MULTIPLY_ADD = {"cpp.enable_floating_point_contract_flag": "fast"}
"""A product and a sum are rounded once."""


def trace_graph(
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    decompositions: Decompositions | None = None,
) -> GraphModule:
    """The tensor operations of a function for inputs of these shapes; nothing is computed.

    Raises:
        Exception: of many types, where the function looks at values, which are not there.
    """

    def plain(*tensors: Tensor) -> Any:
        """The tracer counts `self` among the arguments of a method."""
        return function(*tensors)

    table = None if decompositions is None else dict(decompositions)
    traced = make_fx(plain, table, tracing_mode="fake", _allow_non_fake_inputs=True)
    with process_unchanged():
        return traced(*inputs)


def compile_graph(
    module: GraphModule,
    inputs: Sequence[Any],
    options: Mapping[str, Any],
    key: str | None = None,
    used: Sequence[int] = (),
) -> Callable[..., Any]:
    """The graph for inputs like these, without gradients.

    Where it has a key, of `graph_key`, it is kept on the disk with the indices `used`, for
    `saved_graphs.find`.

    A compiler that was killed leaves half a library in its cache, which every later run would take
    for the whole one: it is removed, and built again.

    Raises:
        Exception: of many types, where the graph can't be compiled.
    """
    with saved_graphs.libraries_loaded() as libraries:
        run = _compiled_again(module, inputs, options)
    if key is None or len(libraries) != 1:
        return run
    return saved_graphs.save(key, libraries[0], used, inputs, run) or run


def _compiled_again(
    module: GraphModule,
    inputs: Sequence[Any],
    options: Mapping[str, Any],
) -> Callable[..., Any]:
    """The compiled graph, at the second attempt where the first can be helped."""
    with torch.no_grad(), process_unchanged(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with vector_instructions.without_trials():
                return _compiled(module, inputs, options)
        except Exception as error:
            if _is_of_compiler(error):
                # an old C++ compiler may not know the newest instructions of the processor
                vector_instructions.forget()
            elif not removed(error):
                raise
        return _compiled(module, inputs, options)


def _compiled(
    module: GraphModule,
    inputs: Sequence[Any],
    options: Mapping[str, Any],
) -> Callable[..., Any]:
    import torch._inductor  # only here: most programs compile nothing

    every = {**options}
    if PRECOMPILED_HEADERS not in os.environ:
        every |= WITHOUT_PRECOMPILED_HEADERS
    with at_lower_level():
        run: Callable[..., Any] = torch._inductor.compile(
            module, [*inputs], options=every
        )
    return run


def _is_of_compiler(error: Exception) -> bool:
    """Whether the C++ compiler has refused the code or a flag."""
    from torch._inductor.exc import CppCompileError

    cause = getattr(error, "inner_exception", error)
    return isinstance(cause, CppCompileError)


def removed(error: Exception) -> bool:
    """Remove the library that can't be loaded, where one is behind the compiler's error.

    Returns:
        Whether there was one; it can be built again.

    Example:
        >>> import tempfile
        >>> half = Path(tempfile.mkdtemp(), "half.so")
        >>> half.touch()
        >>> removed(ImportError("file too short", path=str(half))), half.exists()
        (True, False)
    """
    cause = getattr(error, "inner_exception", error)
    library = cause.path if isinstance(cause, ImportError) else None
    if library is None or not library.endswith(".so"):
        return False
    Path(library).unlink(missing_ok=True)
    return True
