"""What a function of tensors computes, known from one run without a tracer: its operations."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

NAMESPACES = frozenset({"aten", "mkldnn", "pyro_vae"})
"""Of operations that are the same wherever torch and this library are the same."""
BY_VALUES = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Marks of operations whose result has another type or shape where values differ."""
PLAIN = (str, int, float, bool, type(None), torch.dtype, torch.layout, torch.device)
PLAIN_OF_TORCH = (torch.memory_format,)


class Unrecordable(Exception):
    """The operations don't say what the function computes."""


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
    recorder = _Recorder()
    try:
        with recorder:
            for tensor in inputs:
                recorder.write("input", recorder.place(tensor))
            recorder.write("results", recorder.described(function(*inputs)))
    except Exception:
        # whatever stops it stops the tracer too, or is no matter for it
        return None
    return recorder.digest.hexdigest()


class _Recorder(TorchDispatchMode):
    """Writes each operation into a digest."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.digest = hashlib.sha256()
        self.memory: dict[int, tuple[int, StorageWeakRef]] = {}
        self.count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch would import its compiler to keep it out of here."""
        return False

    def __torch_dispatch__(
        self,
        operation: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        namespace, _, name = operation._schema.name.partition("::")
        if namespace not in NAMESPACES or _goes_by_values(operation, arguments):
            raise Unrecordable(name)
        given = self.described([*arguments, *sorted((options or {}).items())])
        found = operation(*arguments, **(options or {}))
        self.write(str(operation), given, self.described(found, is_new=True))
        return found

    def write(self, *parts: object) -> None:
        self.digest.update(repr(parts).encode())

    def described(self, item: Any, is_new: bool = False) -> Any:
        """An argument, or a result, as text and tuples of it."""
        if isinstance(item, Tensor):
            return self.place(item, is_new)
        if isinstance(item, list | tuple):
            return tuple(self.described(one, is_new) for one in item)
        if isinstance(item, PLAIN):
            return f"{type(item).__name__} {item!r}"
        if isinstance(item, PLAIN_OF_TORCH):
            return str(item)
        raise Unrecordable(type(item).__name__)

    def place(self, tensor: Tensor, is_new: bool = True) -> tuple[object, ...]:
        """Where a tensor lies; with its values, where it is neither an input nor a result."""
        if type(tensor) not in {Tensor, torch.nn.Parameter} or tensor.is_cuda:
            raise Unrecordable(type(tensor).__name__)
        storage = tensor.untyped_storage()
        number, reference = self.memory.get(storage._cdata, (-1, None))
        values = ""
        if reference is None or reference.expired():
            number = self.count
            self.count += 1
            self.memory[storage._cdata] = number, StorageWeakRef(storage)
            values = "" if is_new else _values(tensor)
        layout = tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        return number, *layout, str(tensor.dtype), values


def _goes_by_values(operation: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether other values would give a result of another shape, or a number."""
    if (
        operation is torch.ops.aten.index.Tensor
    ):  # marked, also where indices are numbers
        kinds = {index.dtype for index in arguments[1] if index is not None}
        return bool(kinds & {torch.bool, torch.uint8})
    return any(mark in operation.tags for mark in BY_VALUES)


def _values(tensor: Tensor) -> str:
    with torch.no_grad():
        row = tensor.detach().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(row.numpy().tobytes()).hexdigest()
