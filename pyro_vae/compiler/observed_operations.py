"""What a function of tensors computes, operation by operation, seen while it runs."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
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

Layout = tuple[int, tuple[int, ...], tuple[int, ...], torch.dtype]
"""Of a tensor in its memory: offset, shape, strides, type."""


class Unrecordable(Exception):
    """The operations don't say what the function computes."""


class Observer(TorchDispatchMode):
    """Inside the block each operation is shown to `given`, made, and shown to `made`.

    Raises:
        Unrecordable: an operation by others, or one that shows the function values or a shape that
            depends on them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory: dict[int, tuple[int, StorageWeakRef]] = {}
        self.count = 0

    @abstractmethod
    def given(
        self, operation: Any, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        """Look at an operation before it is made, which may change its arguments."""

    @abstractmethod
    def made(self, operation: Any, given: Any, found: Any) -> None:
        """Look at its results, and what `given` has returned."""

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
        given = self.given(operation, arguments, options or {})
        found = operation(*arguments, **(options or {}))
        self.made(operation, given, found)
        return found

    def place(self, tensor: Tensor) -> tuple[int, Layout, bool]:
        """The number of a tensor's memory, its layout there, and whether the memory is new here.

        Memory is numbered in the order in which the function meets it; what was freed, and given
        out again, has a new number.
        """
        if type(tensor) not in {Tensor, torch.nn.Parameter} or tensor.is_cuda:
            raise Unrecordable(type(tensor).__name__)
        storage = tensor.untyped_storage()
        number, reference = self.memory.get(storage._cdata, (-1, None))
        is_new = reference is None or bool(reference.expired())
        if is_new:
            number = self.count
            self.count += 1
            self.memory[storage._cdata] = number, StorageWeakRef(storage)
        shape = tuple(tensor.shape)
        offset = int(tensor.storage_offset())
        return number, (offset, shape, tensor.stride(), tensor.dtype), is_new


def _goes_by_values(operation: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether other values would give a result of another shape, or a number."""
    if (
        operation is torch.ops.aten.index.Tensor
    ):  # marked, also where indices are numbers
        kinds = {index.dtype for index in arguments[1] if index is not None}
        return bool(kinds & {torch.bool, torch.uint8})
    return any(mark in operation.tags for mark in BY_VALUES)
