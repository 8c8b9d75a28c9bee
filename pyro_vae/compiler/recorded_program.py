"""A function of tensors as a program of the operations that it makes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiler.constant_folding import with_constants
from pyro_vae.compiler.observed_operations import (
    PLAIN,
    PLAIN_OF_TORCH,
    Layout,
    Observer,
    Unrecordable,
)
from pyro_vae.compiler.program import Operation, Program, Value, several


def recorded_program(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    others: Sequence[Tensor] | None = None,
) -> Program | None:
    """The program of what a function makes of tensors of these shapes.

    It is run twice on copies, with random numbers that nobody else gets. What depends on no input
    is computed once.

    Arguments:
        function: of tensors that no gradient is asked of.
        inputs: on the processor.
        others: those of the second run, of the same shapes. Where their numbers are others, the
            program has no constants that were computed of them out of torch's sight, such as by
            NumPy.

    Returns:
        None where the operations are not the whole: the function looks at values, has operations
        that others have written, changes tensors that are not its inputs, or does something else
        the second time.

    Example:
        >>> program = recorded_program(lambda x: [2 * x.t().t() + 1], [torch.zeros(2)])
        >>> [operation.function.__name__ for operation in program.operations]
        ['mul.Tensor', 'add.Tensor']
        >>> program(torch.ones(2))
        (tensor([3., 3.]),)
    """
    try:
        first = _recorded(function, inputs)
        second = _recorded(function, inputs if others is None else others, skipped=1)
        if not first.same_as(second):
            return None
        return with_constants(first, [one.detach().clone() for one in inputs])
    except Exception:
        # whatever stops the recording is raised again where the function itself runs
        return None


def _recorded(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    skipped: int = 0,
) -> Program:
    """The program of one run, which doesn't get the next `skipped` random numbers."""
    copies = [tensor.detach().clone() for tensor in inputs]
    if any(
        one.stride() != copy.stride() for one, copy in zip(inputs, copies, strict=True)
    ):
        raise Unrecordable("an input with a hole, or with rows that share memory")
    writer = _Writer(copies)
    with torch.random.fork_rng([]):
        torch.rand(skipped)
        with writer:
            found = [writer.number(tensor) for tensor in function(*copies)]
    changed = tuple(sorted(writer.changed & {*range(len(inputs))}))
    operations = tuple(writer.operations)
    whole = Program(len(inputs), operations, writer.constants, tuple(found), changed)
    return whole.shortened()


class _Writer(Observer):
    """Writes each operation into a list.

    A tensor goes by its place: the number of its memory and its layout there. Two tensors with one
    place have one number, so that a view of a view that is the first tensor again is left out.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.constants: dict[int, Tensor] = {}
        self.fixed: set[int] = set()  # numbers of the memory of constants
        self.changed: set[int] = set()  # and of what is written into
        self.numbers: dict[tuple[int, Layout], int] = {}
        self.next = 0
        for tensor in inputs:
            self._named(tensor)

    def given(
        self, operation: Any, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        if torch.Tag.inplace_view in operation.tags:
            raise Unrecordable(str(operation))
        given = self._written(arguments), self._written(options)
        for tensor in _changed(operation, arguments, options):
            memory, _, _ = self.place(tensor)
            if memory in self.fixed:
                raise Unrecordable("a change of a tensor that is not an input")
            self.changed.add(memory)  # an input's is the number of the input
        return given

    def made(self, operation: Any, given: Any, found: Any) -> None:
        new = several(found)
        known = [self._is_known(one) for one in new]
        if new and all(known) and not operation._schema.is_mutable:
            return
        pairs = zip(new, known, strict=True)
        results = tuple(
            None if is_known else self._named(one) for one, is_known in pairs
        )
        taken, options = given
        self.operations.append(Operation(operation, taken, options, results))

    def number(self, tensor: Tensor) -> int:
        """The number of a tensor; one that the function hasn't made is a constant."""
        memory, layout, is_new = self.place(tensor)
        if (memory, layout) in self.numbers:
            return self.numbers[memory, layout]
        if not is_new and memory not in self.fixed:
            raise Unrecordable("a view that no operation has made")
        self.fixed.add(memory)
        number = self._named(tensor)
        self.constants[number] = tensor
        return number

    def _named(self, tensor: Tensor) -> int:
        """Give a number to a tensor's place."""
        memory, layout, _ = self.place(tensor)
        number = self.next
        self.next += 1
        self.numbers[memory, layout] = number
        return number

    def _is_known(self, tensor: Tensor | None) -> bool:
        if tensor is None:
            return True
        memory, layout, _ = self.place(tensor)
        return (memory, layout) in self.numbers

    def _written(self, item: Any) -> Any:
        """An argument with a `Value` in the place of each tensor."""
        if isinstance(item, Tensor):
            return Value(self.number(item))
        if isinstance(item, Mapping):
            return {name: self._written(one) for name, one in item.items()}
        if isinstance(item, list | tuple):
            return type(item)(self._written(one) for one in item)
        if isinstance(item, (*PLAIN, *PLAIN_OF_TORCH)):
            return item
        raise Unrecordable(type(item).__name__)


def _changed(
    operation: Any, arguments: Sequence[Any], options: Mapping[str, Any]
) -> list[Tensor]:
    """The tensors that an operation changes, by its signature."""
    taken = operation._schema.arguments
    names = [argument.name for argument in taken]
    values = {**dict(zip(names, arguments, strict=False)), **options}
    changed = [
        argument.name
        for argument in taken
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return [
        one for name in changed for one in several(values.get(name)) if one is not None
    ]
