"""A list of tensor operations, made one after another without the Python that led to them."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
        is_mutable = self.function._schema.is_mutable
        return bool(self.draws() or is_mutable or not self.results)

    def draws(self) -> bool:
        """Whether it takes random numbers."""
        return torch.Tag.nondeterministic_seeded in self.function.tags

    def taken(self) -> set[int]:
        """The numbers of the tensors that it takes."""
        return {value.number for value in _values((self.arguments, self.options))}

    def named(self) -> set[int]:
        """The numbers of the tensors that are new."""
        return {number for number in self.results if number is not None}


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
        changed: those of the inputs that an operation says it writes into.
    """

    count: int
    operations: tuple[Operation, ...]
    constants: dict[int, Tensor]
    results: tuple[int, ...]
    changed: tuple[int, ...] = ()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._run(*inputs, *self.constants.values())

    def _run(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        numbers = [*range(self.count), *self.constants]
        values: dict[int | None, Tensor] = dict(zip(numbers, tensors, strict=True))
        for operation, last in zip(self.operations, self._last_taken(), strict=True):
            arguments = _filled(operation.arguments, values)
            options = _filled(operation.options, values)
            found = operation.function(*arguments, **options)
            values |= dict(zip(operation.results, several(found), strict=True))
            del found, arguments, options
            for number in last:
                del values[number]
        return tuple(values[number] for number in self.results)

    def _last_taken(self) -> list[set[int]]:
        """The numbers of the tensors that nobody takes after each operation."""
        later = set(self.results)
        last = []
        for operation in reversed(self.operations):
            now = operation.taken() | operation.named()
            last.append(now - later)
            later |= now
        return last[::-1]

    def shortened(self) -> "Program":
        """The program without operations that have no effect, and without their constants."""
        needed = set(self.results)
        operations = []
        for operation in reversed(self.operations):
            if operation.changes() or operation.named() & needed:
                needed |= operation.taken()
                operations.append(operation)
        constants = {key: one for key, one in self.constants.items() if key in needed}
        return replace(self, operations=(*reversed(operations),), constants=constants)

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
        """Whether the numbers of an input are only taken apart, converted, and factors of others.

        A factor in a tensor then gives what the same factor in Python gives, which has more digits
        in a product of two numbers.
        """
        copies = {number}
        for operation in self.operations:
            if not operation.taken() & copies:
                continue
            name = operation.function._schema.name
            if name in COPYING:
                copies |= operation.named()
            elif name != "aten::mul" or len(operation.taken() - copies) != 1:
                return False
        return not copies & set(self.results)

    def in_torchscript(self, inputs: Sequence[Tensor]) -> Run:
        """The program for torch's interpreter, which takes half the time of Python.

        TorchScript is deprecated; where torch has it no more, this is the program itself. So it is
        where an operation has no result, which TorchScript would leave out.

        Arguments:
            inputs: which it changes.
        """
        if not all(operation.results for operation in self.operations):
            return self
        tensors = (*inputs, *self.constants.values())
        try:
            with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng([]):
                warnings.simplefilter("ignore")
                script = _script(self._with_draws()._run, tensors)
        except (AttributeError, RuntimeError):
            return self
        constants = tensors[len(inputs) :]
        count = len(self.results)

        def run(*inputs: Tensor) -> tuple[Tensor, ...]:
            # the optimizer of TorchScript would round sums of products in another way
            with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                found: tuple[Tensor, ...] = script(*inputs, *constants)
            return found[:count]

        return run

    def _with_draws(self) -> "Program":
        """The program with each draw as a result: TorchScript leaves out what nobody takes."""
        drawn: set[int] = set()
        for operation in self.operations:
            if operation.draws():
                # without a new tensor it draws into one that was there
                drawn |= operation.named() or operation.taken()
        return replace(self, results=(*self.results, *sorted(drawn)))


def _script(function: Run, tensors: tuple[Tensor, ...]) -> Run:
    """What `torch.jit.trace` makes, which would keep it until the process ends."""
    trace: Any = torch._C._create_graph_by_tracing
    make: Any = torch._C._create_function_from_graph
    graph, _ = trace(function, tensors, lambda tensor: "", True, False)
    script: Run = make("program", graph)
    return script


COPYING = frozenset({"aten::unbind", "aten::select", "aten::_to_copy"})
"""Operations whose results have the numbers of their argument."""


def several(found: Any) -> list[Any]:
    """The results of an operation, in one list."""
    if found is None:
        return []
    if not isinstance(found, list | tuple):
        return [found]
    return [
        one for item in found for one in ([None] if item is None else several(item))
    ]


def _filled(item: Any, values: Mapping[int | None, Tensor]) -> Any:
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
