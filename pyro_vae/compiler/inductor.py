"""A graph, compiled by torch's compiler for good."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.fx import GraphModule


def compile_graph(
    module: GraphModule, inputs: Sequence[Any], options: Mapping[str, Any]
) -> Callable[..., Any]:
    """The graph for inputs like these, without gradients.

    A compiler that was killed leaves half a library in its cache, which every later run would take
    for the whole one: it is removed, and built again.

    Raises:
        Exception: of many types, where the graph can't be compiled.
    """
    import torch._inductor

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run: Callable[..., Any] = torch._inductor.compile(
                module, [*inputs], options={**options}
            )
        except Exception as error:
            if not removed(error):
                raise
            run = torch._inductor.compile(module, [*inputs], options={**options})
    return run


def removed(error: Exception) -> bool:
    """Whether a library that can't be loaded was behind the compiler's error; it is gone then, and
    can be built again.

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
