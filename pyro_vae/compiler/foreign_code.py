"""Whether a function runs Python that neither this library nor those below it have brought."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

LIBRARIES = {"numpy", "opt_einsum", "pyro", "pyro_vae", "torch", "zuko"}
KNOWN = LIBRARIES | sys.stdlib_module_names
"""Packages whose Python, in what they compute with tensors, is the same each time."""
GENERATED = "namedtuple_"
"""What the names start with that Python gives to the modules of the code it makes itself."""


def foreign_code(function: Callable[[], T]) -> tuple[T, str | None]:
    """What a function returns, and the first function that it called of a package not known here.

    Returns:
        The result, and the name, such as "__main__.Decoder.forward"; None where there is none.

    Example:
        >>> foreign_code(lambda: max([3, 4], key=abs))[0]
        4
    """
    found: list[str] = []

    def look(frame: FrameType, event: str, argument: Any) -> None:
        module = frame.f_globals.get("__name__") or ""
        is_known = module.partition(".")[0] in KNOWN or module.startswith(GENERATED)
        if event == "call" and not found and not is_known:
            found.append(f"{module}.{frame.f_code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        result = function()
    finally:
        sys.setprofile(before)
    return result, next(iter(found), None)
