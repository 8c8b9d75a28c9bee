"""Operations of a program whose results are always the same, made once."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pyro_vae.compiler.program import Operation, Program

OF_SHAPES = frozenset(
    f"aten::{name}"
    for name in (
        "full_like",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    )
)
"""Operations that take the shape of a tensor, and not its numbers."""
UNFILLED = "aten::empty"
"""What the names of operations start with whose results have no numbers yet."""


def with_constants(program: Program, inputs: Sequence[Tensor]) -> Program:
    """The program with the results that depend on no input as constants.

    Nothing is done where one of them may change: where it is a result of the program, or is changed
    in place.

    Arguments:
        program: to be made shorter.
        inputs: of its shapes, which it changes.

    Example:
        >>> from pyro_vae.compiler.recorded_program import recorded_program
        >>> program = recorded_program(lambda x: [x * (torch.ones(2) / 4)], [torch.zeros(2)])
        >>> [operation.function.__name__ for operation in program.operations]
        ['mul.Tensor']
    """
    fixed: set[int] = set()
    for operation in program.operations:
        if not operation.changes() and _is_fixed(operation, fixed):
            fixed |= operation.named()
    changed = [one for one in program.operations if one.function._schema.is_mutable]
    if fixed & set(program.results).union(*(one.taken() for one in changed)):
        return program
    rest = [one for one in program.operations if not one.named() & fixed]
    needed = sorted(fixed & set().union(*(one.taken() for one in rest)))
    with torch.no_grad(), torch.random.fork_rng([]):
        values = replace(program, results=tuple(needed))(*inputs)
    constants = {**program.constants, **dict(zip(needed, values, strict=True))}
    return replace(program, operations=tuple(rest), constants=constants).shortened()


def _is_fixed(operation: Operation, fixed: set[int]) -> bool:
    """Whether the results are the same whatever the inputs of the program are."""
    name = operation.function._schema.name
    return name in OF_SHAPES or (
        operation.taken() <= fixed and not name.startswith(UNFILLED)
    )
