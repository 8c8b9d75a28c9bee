"""What a function of tensors computes, known from one run without a tracer: its operations."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiler.observed_operations import (
    PLAIN,
    PLAIN_OF_TORCH,
    Observer,
    Unrecordable,
)


def recorded_operations(
    function: Callable[..., Any], inputs: Sequence[Tensor]
) -> str | None:
    """The SHA-256 of the operations that a function makes of these inputs.

    Each is written with its name, its numbers, and where its tensors lie: the memory, by the order
    in which the function has met it, with offset, shape and strides. Tensors that are neither
    inputs nor results count with their values. Functions with one record compute the same for
    inputs of these shapes, unless their Python looks at the values of the inputs.

    Arguments:
        function: is run, so that it may change the inputs.
        inputs: on the processor.

    Returns:
        None where the operations are not the whole: the function looks at values, has operations
        that others have written, or fails.

    Example:
        >>> x, y = torch.ones(2), torch.zeros(2)
        >>> twice = [recorded_operations(lambda x: 2 * x, [one]) for one in (x, y)]
        >>> twice[0] == twice[1] != recorded_operations(lambda x: 3 * x, [x])
        True
        >>> recorded_operations(lambda x: x if x.sum() > 0 else -x, [x]) is None
        True
    """
    digest = _Digest()
    try:
        with digest:
            for tensor in inputs:
                digest.write("input", digest.described(tensor, is_new=True))
            digest.write("results", digest.described(function(*inputs)))
    except Exception:
        # whatever stops it stops the tracer too, or is no matter for it
        return None
    return digest.sha256.hexdigest()


class _Digest(Observer):
    """Writes each operation into a digest."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()

    def given(
        self, operation: Any, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        return self.described([*arguments, *sorted(options.items())])

    def made(self, operation: Any, given: Any, found: Any) -> None:
        self.write(str(operation), given, self.described(found, is_new=True))

    def write(self, *parts: object) -> None:
        self.sha256.update(repr(parts).encode())

    def described(self, item: Any, is_new: bool = False) -> Any:
        """An argument, or a result, as text and tuples of it."""
        if isinstance(item, Tensor):
            number, layout, is_unknown = self.place(item)
            values = _values(item) if is_unknown and not is_new else ""
            return number, layout, values
        if isinstance(item, list | tuple):
            return tuple(self.described(one, is_new) for one in item)
        if isinstance(item, PLAIN):
            return f"{type(item).__name__} {item!r}"
        if isinstance(item, PLAIN_OF_TORCH):
            return str(item)
        raise Unrecordable(type(item).__name__)


def _values(tensor: Tensor) -> str:
    with torch.no_grad():
        row = tensor.detach().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(row.numpy().tobytes()).hexdigest()
