"""Why a function can't be compiled, or its graph can't be used, in one line."""

import traceback
from collections.abc import Iterator, Mapping
from types import FrameType

from torch import nn

LIBRARIES = frozenset({"torch", "pyro", "contextlib"})
Frames = list[tuple[FrameType, int]]


class Refusal(ValueError):
    """An error whose message is the reason, wherever it was raised."""


def why_refused(
    error: Exception,
    *,
    caller: str,
    parts: Mapping[str, nn.Module] | None = None,
) -> str:
    """Where the tracer or the compiler stopped, and why, in one line.

    Arguments:
        error: what was raised.
        caller: the module that called the tracer and the compiler.
        parts: parts of the model by name; the one in which the error was raised is named.

    Example:
        >>> try:
        ...     raise Refusal("the optimizer is not Adam")
        ... except Refusal as error:
        ...     why_refused(error, caller="")
        'the optimizer is not Adam'
    """
    lines = str(error).strip().splitlines() or ["no reason given"]
    reason = lines[0]
    if isinstance(error, Refusal):
        return reason
    frames = list(traceback.walk_tb(error.__traceback__))[::-1]  # the innermost first
    location = _part(frames, parts or {}) or _line(frames, caller)
    return f"{location}: {type(error).__name__}: {reason}"


def results_differ(compiled: Mapping[str, float], expected: Mapping[str, float]) -> str:
    """The reason where a graph gives other numbers than the function that it was made of.

    Example:
        >>> results_differ({"loss": 4.2}, {"loss": 4.3})
        'compiled and eager results differ: loss 4.2, expected 4.3'
    """
    pairs = [
        f"{name} {compiled[name]:g}, expected {expected[name]:g}" for name in expected
    ]
    return "compiled and eager results differ: " + "; ".join(pairs)


def _part(frames: Frames, parts: Mapping[str, nn.Module]) -> str | None:
    """The part of the model with the innermost method on the stack, and the method's class."""
    for owner in _owners(frames):
        for name, part in parts.items():
            if any(owner is module for module in part.modules()):
                return f"{name} ({type(owner).__name__})"
    return None


def _owners(frames: Frames) -> Iterator[nn.Module]:
    """The modules whose methods are on the stack."""
    for frame, _ in frames:
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            yield owner


def _line(frames: Frames, caller: str) -> str:
    """The innermost line outside of torch and Pyro."""
    for frame, line in frames:
        name = frame.f_globals.get("__name__", "")
        if name == caller or name.startswith("pyro_vae.compiler."):
            return "the compiler"
        if name.split(".")[0] not in LIBRARIES:
            return f"{name}, line {line}"
    return "the compiler"
