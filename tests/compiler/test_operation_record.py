"""The record of a function's operations is the same where the function is, and else another."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_vae.compiler.operation_record import recorded_operations

Function = Callable[..., Any]
X = torch.arange(6.0).view(2, 3)


def record(function: Function, x: Tensor = X) -> str | None:
    return recorded_operations(function, [x.clone()])


def constant(value: float) -> Function:
    return lambda x: x + torch.tensor([value, 1.0, 2.0])


def gradient(power: float) -> Function:
    def slope(x: Tensor) -> Tensor:
        leaf = x.detach().requires_grad_()
        (found,) = torch.autograd.grad((leaf.tanh() ** power).sum(), [leaf])
        return found

    return slope


def with_hole(x: Tensor) -> Tensor:
    """Memory of a result is given back before a constant is made."""
    del_me = x + 1
    del del_me
    return x * torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def without_hole(x: Tensor) -> Tensor:
    y = x + 1
    return x * y


SAME: dict[str, Callable[[], Function]] = {
    "a sum with a constant": lambda: constant(0.5),
    "a gradient": lambda: gradient(3.0),
    "random numbers": lambda: lambda x: x + torch.randn(2, 3) + nn.Dropout()(x),
    "views and changes in place": lambda: lambda x: x[0].add_(1).view(3, 1) @ x[1:],
}


@pytest.mark.parametrize("name", SAME)
def test_a_function_has_one_record_whatever_the_values(name: str) -> None:
    first, second, other = (SAME[name]() for _ in range(3))
    assert record(first) is not None
    assert record(first) == record(second)
    assert record(first) == record(other, 2 * X + 1)


DIFFERENT: dict[str, tuple[Function, Function]] = {
    "values of constants": (constant(0.5), constant(0.25)),
    "numbers": (gradient(3.0), gradient(4.0)),
    "types of numbers": (lambda x: x * 2, lambda x: x * 2.0),
    "order": (lambda x: x[0] - x[1], lambda x: x[1] - x[0]),
    "results": (lambda x: (x + 1, x), lambda x: (x, x + 1)),
    "memory": (lambda x: x.add_(1) * x, lambda x: x.add(1) * x),
    "memory that is used again": (with_hole, without_hole),
    "draws": (lambda x: x + torch.randn(3), lambda x: x + torch.rand(3)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_functions_that_differ_have_two(name: str) -> None:
    one, other = map(record, DIFFERENT[name])
    assert one is not None
    assert other is not None
    assert one != other


def test_shapes_strides_and_dtypes_count() -> None:
    records = {
        record(torch.exp, x) for x in (X, X.T, X[:1], X.double(), X.T.contiguous())
    }
    assert len(records) == 5


FUNCTIONS: dict[str, Function] = {
    "looks at a value": lambda x: x if x[0, 0] > 0 else -x,
    "has a number of a tensor": lambda x: x * float(x[0, 0]),
    "fails": lambda x: x @ x,
    "has a generator": lambda x: x + torch.rand(3, generator=torch.Generator()),
    "has a shape that depends on values": lambda x: x[x > 1],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_none_where_operations_do_not_say_all(name: str) -> None:
    assert record(FUNCTIONS[name]) is None


def test_operations_of_others_do_not_say_all() -> None:
    @torch.library.custom_op("tests_record::twice", mutates_args=())
    def twice(x: Tensor) -> Tensor:
        return 2 * x

    assert record(lambda x: twice(x)) is None
