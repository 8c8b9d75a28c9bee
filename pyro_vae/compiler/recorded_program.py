"""A function of tensors as the list of its operations, made again without the function's Python."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_vae.compiler.observed_operations import (
    PLAIN,
    PLAIN_OF_TORCH,
    Layout,
    Observer,
    Unrecordable,
)

Run = Callable[..., tuple[Tensor, ...]]


class Value(NamedTuple):
    """A tensor of the program, by its number."""

    number: int


@dataclass(frozen=True)
class Operation:
    """One operation of torch.

    Attributes:
        function: of `torch.ops`.
        arguments, options: with a `Value` for each tensor.
        results: the numbers of the tensors that it returns; None of those that have one already.
    """

    function: Any
    arguments: Any
    options: Any
    results: tuple[int | None, ...]

    def changes(self) -> bool:
        """Whether it must be made where nothing takes its results.

        It draws, changes a tensor, or only looks, for an error of torch.
        """
        draws = torch.Tag.nondeterministic_seeded in self.function.tags
        return bool(draws or self.function._schema.is_mutable or not self.results)

    def taken(self) -> set[int]:
        """The numbers of the tensors that it takes."""
        return {value.number for value in _values((self.arguments, self.options))}


@dataclass(frozen=True)
class Program:
    """The operations of a function, called with the same number of tensors of the same shapes.

    Results, changes of the inputs and draws are the same to the last bit: the same operations are
    made in the same order. There is no gradient.

    Attributes:
        count: number of inputs, whose numbers are the first.
        operations: those that have an effect.
        constants: tensors that are neither inputs nor results, by their numbers.
        results: the numbers of the results.
    """

    count: int
    operations: tuple[Operation, ...]
    constants: dict[int, Tensor]
    results: tuple[int, ...]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._run(*inputs, *self.constants.values())

    def _run(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip([*range(self.count), *self.constants], tensors, strict=True))
        for operation in self.operations:
            arguments = _filled(operation.arguments, values)
            options = _filled(operation.options, values)
            found = operation.function(*arguments, **options)
            for number, tensor in zip(operation.results, _several(found), strict=True):
                if number is not None:
                    values[number] = tensor
        return tuple(values[number] for number in self.results)

    def same_as(self, other: "Program") -> bool:
        """Whether both compute the same, as far as their operations and constants tell."""
        mine, others = self._described(), other._described()
        return mine == others and all(
            torch.equal(one, another)
            for one, another in zip(
                self.constants.values(), other.constants.values(), strict=True
            )
        )

    def _described(self) -> tuple[Any, ...]:
        return self.count, self.operations, [*self.constants], self.results

    def only_multiplies(self, number: int) -> bool:
        """Whether the numbers of an input are only taken apart, converted, and factors.

        A factor in a tensor then gives what the same factor in Python gives.
        """
        copies = {number}
        for operation in self.operations:
            if not operation.taken() & copies:
                continue
            name = operation.function._schema.name
            if name in COPYING:
                copies.update(one for one in operation.results if one is not None)
            elif name != "aten::mul":
                return False
        return not copies & set(self.results)

    def in_torchscript(self, inputs: Sequence[Tensor]) -> Run:
        """The program for torch's interpreter, which takes half the time of Python.

        TorchScript is deprecated; where torch has it no more, this is the program itself.

        Arguments:
            inputs: which it changes.
        """
        tensors = (*inputs, *self.constants.values())
        try:
            with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng([]):
                warnings.simplefilter("ignore")
                trace: Any = torch.jit.trace
                script = trace(self._run, tensors, check_trace=False)
        except (AttributeError, RuntimeError):
            return self
        constants = tensors[len(inputs) :]

        def run(*inputs: Tensor) -> tuple[Tensor, ...]:
            # the optimizer of TorchScript would round sums of products in another way
            with torch.jit.optimized_execution(False):
                found: tuple[Tensor, ...] = script(*inputs, *constants)
            return found

        return run


COPYING = frozenset({"aten::unbind", "aten::select", "aten::_to_copy"})
"""Operations whose results have the numbers of their argument."""


def recorded_program(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]
) -> Program | None:
    """The program of what a function makes of tensors of these shapes.

    It is run twice on copies of the inputs, with random numbers that nobody else gets.

    Arguments:
        function: of tensors that no gradient is asked of.
        inputs: on the processor.

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
        first, second = (_recorded(function, inputs) for _ in range(2))
        return first if first.same_as(second) else None
    except Exception:
        # whatever stops the recording is raised again where the function itself runs
        return None


def _recorded(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]
) -> Program:
    copies = [tensor.detach().clone() for tensor in inputs]
    if any(
        one.stride() != copy.stride() for one, copy in zip(inputs, copies, strict=True)
    ):
        raise Unrecordable("an input with a hole, or with rows that share memory")
    writer = _Writer(copies)
    with torch.random.fork_rng([]), writer:
        found = [writer.number(tensor) for tensor in function(*copies)]
    operations = list(_needed(writer.operations, set(found)))
    operations.reverse()
    taken = set(found).union(*(operation.taken() for operation in operations))
    constants = {key: one for key, one in writer.constants.items() if key in taken}
    return Program(len(inputs), tuple(operations), constants, tuple(found))


def _needed(operations: Sequence[Operation], needed: set[int]) -> Iterator[Operation]:
    """The operations that have an effect, the last first."""
    for operation in reversed(operations):
        if operation.changes() or needed & {*operation.results}:
            needed |= operation.taken()
            yield operation


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
        for argument, value in zip(
            operation._schema.arguments, arguments, strict=False
        ):
            is_changed = (
                argument.alias_info is not None and argument.alias_info.is_write
            )
            if is_changed and isinstance(value, Tensor):
                self._require_changeable(value)
        for value in options.values():  # such as out=
            if operation._schema.is_mutable and isinstance(value, Tensor):
                self._require_changeable(value)
        return given

    def made(self, operation: Any, given: Any, found: Any) -> None:
        several = _several(found)
        known = [self._is_known(one) for one in several]
        if several and all(known) and not operation._schema.is_mutable:
            return
        pairs = zip(several, known, strict=True)
        results = tuple(
            None if is_known else self._named(one) for one, is_known in pairs
        )
        self.operations.append(Operation(operation, *given, results))

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

    def _require_changeable(self, tensor: Tensor) -> None:
        memory, _, _ = self.place(tensor)
        if memory in self.fixed:
            raise Unrecordable("a change of a tensor that is not an input")

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


def _several(found: Any) -> list[Any]:
    """The results of an operation, in one list."""
    if found is None:
        return []
    if not isinstance(found, list | tuple):
        return [found]
    return [
        one for item in found for one in ([None] if item is None else _several(item))
    ]


def _filled(item: Any, values: Mapping[int, Tensor]) -> Any:
    """An argument with the tensors in it."""
    if isinstance(item, Value):
        return values[item.number]
    if isinstance(item, Mapping):
        return {name: _filled(one, values) for name, one in item.items()}
    if isinstance(item, list | tuple):
        return type(item)(_filled(one, values) for one in item)
    return item


def _values(item: Any) -> Iterator[Value]:
    """The tensors of an argument."""
    if isinstance(item, Value):
        yield item
    elif isinstance(item, Mapping):
        for one in item.values():
            yield from _values(one)
    elif isinstance(item, list | tuple):
        for one in item:
            yield from _values(one)
