"""Arguments of public functions: NumPy's numbers are numbers, True is not 1, errors explain."""

import inspect
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from pyro_vae.explain import nearest, new_name

P = ParamSpec("P")
R = TypeVar("R")


def as_int(value: Any, name: str, at_least: int | None = None) -> int:
    """An integer of Python, NumPy or torch as an `int`.

    Arguments:
        value: what was passed.
        name: of the argument, for the message.
        at_least: the smallest value allowed; None allows all.

    Raises:
        ValueError: a bool, a float, text, or an integer below `at_least`.

    Example:
        >>> import numpy as np
        >>> as_int(np.int64(5), "num_particles", at_least=1)
        5
        >>> as_int(True, "num_particles", at_least=1)
        Traceback (most recent call last):
        ValueError: num_particles: expected an integer of at least 1, got True
    """
    number = _index(value)
    expected = "an integer"
    if at_least is not None:
        expected += f" of at least {at_least}"
    if number is None:
        raise ValueError(f"{name}: expected {expected}, got {_shown(value)}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name}: expected {expected}, got {number}")
    return number


def _index(value: Any) -> int | None:
    """The integer that a value is, or None; bools of NumPy and torch are known by their dtype."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        return None


def _shown(value: Any) -> str:
    """A value in a message, shortened."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    text = repr(value)
    return text if len(text) <= 60 else f"an object of type {type(value).__name__}"


def warn_caller(message: str) -> None:
    """A warning that names the line of the user's program which called this library."""
    level = 2
    frame = inspect.currentframe()
    while frame is not None and _is_library(frame.f_back):
        frame = frame.f_back
        level += 1
    warnings.warn(message, stacklevel=level)


def _is_library(frame: FrameType | None) -> bool:
    """Whether a frame is one of this library, or of one that called it back."""
    package = (
        "" if frame is None else str(frame.f_globals.get("__name__", "")).split(".")[0]
    )
    return package in {"pyro_vae", "pyro", "torch", "contextlib"}


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a function for users: wrong calls are ValueErrors, any library's integers fit.

    A call is wrong with an unknown name, with too many positional arguments, with another object
    where a VAE is expected, and with True or 2.0 where the annotation is `int`. So is a model with
    a context, where the function has no parameter `context` and isn't in `KNOW_NO_ROWS`.

    Example:
        >>> @public
        ... def trained(*, epochs: int = 3): ...
        >>> trained(epoch=3)
        Traceback (most recent call last):
        ValueError: trained: unknown argument 'epoch'; allowed: 'epochs'; did you mean 'epochs'?
    """
    signature = inspect.signature(function)
    names = list(signature.parameters)
    integers = {
        name
        for name, p in signature.parameters.items()
        if p.annotation in (int, int | None)
    }

    # "VAE | Sequence[VAE]": the class is in a room to the right, and can't be imported here
    annotations = [str(p.annotation) for p in signature.parameters.values()]
    takes_others = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    takes_context = "context" in names or takes_others
    takes_several = any("Sequence" in annotation for annotation in annotations[:1])

    def checked(name: str, value: Any) -> Any:
        if name == "vae" == names[0]:
            is_list = takes_several and isinstance(value, list | tuple)
            for each in value if is_list else [value]:
                _require_vae(function.__name__, each)
                if not takes_context:
                    _refuse_context(function.__name__, each)
        if name in integers and value is not None:
            return as_int(value, name)
        return value

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _refuse_former_names(names, kwargs)
        why = _misfit(signature, args, kwargs)
        if why is not None:
            raise ValueError(
                f"{function.__qualname__.removesuffix('.__init__')}: {why}"
            )
        first: Any = [
            checked(name, value) for name, value in zip(names, args, strict=False)
        ]
        named: Any = {name: checked(name, value) for name, value in kwargs.items()}
        return function(*first, **named)

    return call


def _require_vae(name: str, vae: Any) -> None:
    """Raise ValueError unless `vae` has the two programs of a model.

    The class itself is in a room to the right, and can't be imported here.
    """
    if hasattr(vae, "model") and hasattr(vae, "guide"):
        return
    got = type(vae).__name__
    remedy = f"the model comes first: {name}(vae, ...)"
    if hasattr(vae, "vae"):
        remedy = f"pass {got.lower()}.vae"
    raise ValueError(f"{name}: expected a VAE, got {got}; {remedy}")


KNOW_NO_ROWS = ("save", "random_effects", "export", "missing_mechanism")
"""Functions that a model with a context is passed to without one."""


def _refuse_context(name: str, vae: Any) -> None:
    """Raise ValueError for a model with a context where a function can't take the context."""
    context = getattr(getattr(vae, "spec", None), "context", None)
    if context is None or name in KNOW_NO_ROWS:
        return
    raise ValueError(
        f"{name}: expected a model without a context, got one with {context.size} numbers given "
        "with each row, which this function doesn't take; fit another with these columns in x"
    )


def _refuse_former_names(names: Sequence[str], kwargs: Mapping[str, Any]) -> None:
    """Raise ValueError for an option by the name that it had in an earlier version."""
    for name in kwargs:
        new = new_name(name, names)
        if name not in names and new is not None:
            raise ValueError(f"{name}: this option is now called {new}")


def _misfit(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str | None:
    """Why a call doesn't fit a signature, or None where it does."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = [p for name, p in signature.parameters.items() if name != "self"]
        first = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        named = first + [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        given = len(args) - ("self" in signature.parameters)
        unknown = [name for name in kwargs if name not in named]
        if given > len(first):
            expected = ", ".join(first) or "nothing"
            rest = ", ".join(f"{name}=" for name in named if name not in first)
            return (
                f"expected {expected} by position, got {given}; name the others: {rest}"
            )
        if unknown:
            return f"unknown argument {unknown[0]!r}; {nearest(unknown[0], named)}"
        return str(error)
    return None
