"""Whether a function runs Python that neither this library nor those below it have brought."""

import gc
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

LIBRARIES = {"numpy", "opt_einsum", "pyro", "pyro_vae", "torch", "zuko"}
"""Packages whose Python, in what they compute with tensors, is the same each time."""
STANDARD = sys.stdlib_module_names - {"unittest"}  # whose mocks count their calls
"""Such modules of Python itself, where they are its own and not a file of the user."""
PLACES = (sysconfig.get_path("stdlib"), "<")
"""What the names of their files start with; those of frozen ones are in brackets."""
GENERATED = "namedtuple_"
"""What the names start with that Python gives to the modules of the code it makes itself."""


class ForeignCode(BaseException):
    """A function of a package that isn't known here was about to run.

    `except Exception`, on the way, is not meant for it: Python looks no further once it was raised.
    """


def without_foreign_code(function: Callable[[], T]) -> T:
    """What a function returns that calls nothing of packages not known here.

    Raises:
        ForeignCode: it has come to such a call, which is not made, with its name, such as
            "__main__.Decoder.forward".

    Example:
        >>> import functools, math
        >>> without_foreign_code(functools.partial(math.gcd, 12, 18))
        6
    """
    found: list[str] = []

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and not _is_known(frame):
            module = frame.f_globals.get("__name__") or ""
            found.append(f"{module}.{frame.f_code.co_qualname}")
            raise ForeignCode(found[0])

    before: Any = sys.getprofile()
    if not (before is None or callable(before) or hasattr(before, "enable")):
        raise ForeignCode("a profiler that could not be put back")
    with _undisturbed():
        sys.setprofile(look)
        try:
            result = function()
        finally:
            sys.setprofile(before if callable(before) else None)
            if hasattr(before, "enable"):  # cProfile's, which isn't a function
                before.enable()
    if found:  # and the function has gone on after the error
        raise ForeignCode(found[0])
    return result


def where_allowed(function: Callable[[], T], with_foreign_code: bool) -> T | None:
    """What a function returns; None where it comes to foreign code, and that isn't allowed."""
    if with_foreign_code:
        return function()
    try:
        return without_foreign_code(function)
    except ForeignCode:
        return None


def _is_known(frame: FrameType) -> bool:
    """Whether the function of a frame is of a package that is known here."""
    module = frame.f_globals.get("__name__") or ""
    package = module.partition(".")[0]
    if package in STANDARD:
        return frame.f_code.co_filename.startswith(PLACES)
    return package in LIBRARIES or module.startswith(GENERATED)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside the block Python calls nothing that the block doesn't call itself.

    Garbage of others isn't collected, and signals wait for the end: the function that the user has
    for them would be foreign, and be lost.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with _signals_later():
            yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _signals_later() -> Iterator[None]:
    """Inside the block signals are noted, and after it Python's functions for them are called.

    Python calls them in the main thread, whichever thread has got the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []

    def note(number: int, frame: Any) -> None:
        noted.append(number)

    former = {number: signal.getsignal(number) for number in signal.valid_signals()}
    own = {number: one for number, one in former.items() if callable(one)}
    for number in own:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
        for got in noted:
            signal.raise_signal(got)
