"""A recorded program makes what the function makes, to the last bit, and is refused elsewhere."""

import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pyro_vae.compiler.program import Program
from pyro_vae.compiler.recorded_program import recorded_program

Function = Callable[..., Sequence[Tensor]]


def inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 4, generator=generator) for _ in range(2)]


def gradient(x: Tensor, y: Tensor) -> list[Tensor]:
    leaf = x.detach().requires_grad_()
    loss = (functional.softplus(leaf @ y).log().sum(0) ** 2).mean()
    return [*torch.autograd.grad(loss, [leaf]), loss.detach()]


def convolution(x: Tensor, y: Tensor) -> list[Tensor]:
    weight = y[None, None, :2, :2].detach().requires_grad_()
    loss = functional.conv2d(x[None, None], weight).sum()
    return list(torch.autograd.grad(loss, [weight]))


def in_place(x: Tensor, y: Tensor) -> list[Tensor]:
    x[1:].mul_(2).add_(y[:3])
    z = x.t()
    y.copy_(z)
    return [z.t() + 1, y]


def statistics(x: Tensor, y: Tensor) -> list[Tensor]:
    mean, variance = x[0], x[1]
    return [functional.batch_norm(y, mean, variance, training=True)]


def draws(x: Tensor, y: Tensor) -> list[Tensor]:
    torch.rand(3)  # nobody takes it, and the next numbers depend on it
    noise = torch.empty(4, 4).normal_()
    return [x + noise, nn.Dropout()(y)]


def draws_nobody_takes(x: Tensor, y: Tensor) -> list[Tensor]:
    torch.empty(3).normal_()
    torch.randn(3)
    return [x + y]


def changed_constant(x: Tensor, y: Tensor) -> list[Tensor]:
    total = torch.zeros(4)
    total += x[0]
    total[1:].mul_(2.0)
    return [total + y]


def several(x: Tensor, y: Tensor) -> list[Tensor]:
    first, second = torch._foreach_mul([x, y], 2.0)
    left, right = first.split(2)
    return [*torch.stack([left, right, second[:2]]).unbind()]


FUNCTIONS: dict[str, Function] = {
    "a gradient": gradient,
    "a gradient of a convolution": convolution,
    "changes in place": in_place,
    "statistics that change": statistics,
    "draws": draws,
    "draws that nobody takes": draws_nobody_takes,
    "lists of tensors": several,
    "constants": lambda x, y: [x + torch.tensor([1.0, 2.0, 3.0, 4.0]), y * 2],
    "constants of shapes": lambda x, y: [
        x * torch.ones_like(y).sum(),
        y - torch.zeros(4),
    ],
    "a constant that is changed": changed_constant,
    "a constant for a result": lambda x, y: [torch.ones(4) / 3, x + y],
    "a look for errors": lambda x, y: [
        torch.linalg.cholesky(x @ x.T + 9 * torch.eye(4))
    ],
}


def outcome(run: Callable[..., Sequence[Tensor]]) -> list[Tensor]:
    """Results, what has become of the inputs, and the next random number."""
    tensors = inputs()
    torch.manual_seed(7)
    found = run(*tensors)
    return [*found, *tensors, torch.rand(1)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_program_makes_what_the_function_makes(name: str) -> None:
    function = FUNCTIONS[name]
    program = recorded_program(function, inputs())
    assert program is not None
    expected = outcome(function)
    for run in (program, program.in_torchscript(inputs())):
        for _ in range(3):
            with torch.no_grad():
                found = outcome(run)
            assert [one.stride() for one in found] == [one.stride() for one in expected]
            assert all(map(torch.equal, found, expected))


def test_where_torch_has_no_torchscript_python_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch._C, "_create_graph_by_tracing")
    program = recorded_program(gradient, inputs())
    assert program is not None
    assert program.in_torchscript(inputs()) is program


def test_nothing_is_kept_of_a_program_that_nobody_has() -> None:
    kept: Any = torch.jit._state._python_cu
    before = len(kept.get_functions())
    tensors = inputs()
    program = recorded_program(gradient, tensors)
    assert program is not None
    assert program.in_torchscript(tensors) is not program
    assert len(kept.get_functions()) == before


def test_recording_changes_neither_inputs_nor_random_numbers() -> None:
    tensors = inputs()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    program = recorded_program(lambda x, y: [*in_place(x, y), *draws(x, y)], tensors)
    assert program is not None
    program.in_torchscript([one.clone() for one in tensors])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, tensors, inputs()))


def largest(x: Tensor, y: Tensor) -> list[Tensor]:
    torch.maximum(x[0], y[0], out=x[0])
    return [x + y]


CHANGED: dict[str, tuple[Function, tuple[int, ...]]] = {
    "both": (in_place, (0, 1)),
    "one in part": (largest, (0,)),
    "one that is as before": (lambda x, y: [x, y.mul_(1)], (1,)),
    "none": (gradient, ()),
    "a copy": (lambda x, y: [(x + 1).add_(y)], ()),
}


@pytest.mark.parametrize("name", CHANGED)
def test_which_inputs_a_program_changes(name: str) -> None:
    function, expected = CHANGED[name]
    program = recorded_program(function, inputs())
    assert program is not None
    assert program.changed == expected


def names(program: Program | None) -> list[str]:
    assert program is not None
    return [operation.function._schema.name for operation in program.operations]


def test_what_has_no_effect_is_left_out() -> None:
    def function(x: Tensor, y: Tensor) -> list[Tensor]:
        _ = torch.arange(5) + x.exp().sum()
        return [x.t().t().view(4, 4).detach() + y.unsqueeze(0).squeeze(0)]

    assert names(recorded_program(function, inputs())) == ["aten::add"]


def test_what_depends_on_no_input_is_computed_once() -> None:
    def function(x: Tensor, y: Tensor) -> list[Tensor]:
        shape = (x + 1).exp()  # of which the shape alone is taken
        return [x * (torch.ones_like(shape) / 3).t() + y]

    assert names(recorded_program(function, inputs())) == ["aten::mul", "aten::add"]


def test_also_beside_noise_that_is_drawn_into_new_memory() -> None:
    def function(x: Tensor, y: Tensor) -> list[Tensor]:
        return [x * (torch.ones(4) / 3) + torch.empty(4).normal_() + y]

    found = names(recorded_program(function, inputs()))
    assert "aten::div" not in found
    assert "aten::normal_" in found


def test_tensors_are_let_go_when_nobody_takes_them_any_more() -> None:
    program = recorded_program(
        lambda x: [x.exp().log().exp().log() + 1], [torch.zeros(2**18)]
    )
    assert program is not None
    alive: list[int] = []

    class Counted(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), options: Any = None
        ) -> Any:
            kept = [one for one in gc.get_objects() if issubclass(type(one), Tensor)]
            alive.append(sum(one.numel() >= 2**18 for one in kept))
            return function(*arguments, **(options or {}))

    x = torch.zeros(2**18)
    with Counted():
        program(x)
    assert len(alive) == 5
    assert max(alive) - alive[0] <= 1


def test_an_error_of_torch_is_looked_for_each_time() -> None:
    program = recorded_program(lambda x: [torch.linalg.cholesky(x)], [torch.eye(3)])
    assert program is not None
    for run in (program, program.in_torchscript([torch.eye(3)])):
        with pytest.raises(RuntimeError):
            run(-torch.eye(3))


OUTSIDE = torch.zeros(4, 4)


class Counter:
    calls = 0

    def scaled(self, x: Tensor, y: Tensor) -> list[Tensor]:
        self.calls += 1
        return [x * self.calls + y]


def noise_of_numpy(x: Tensor, y: Tensor) -> list[Tensor]:
    noise = np.random.normal(size=(4, 4))  # noqa: NPY002 - as users have it
    return [x + torch.from_numpy(noise), y]


def changes_another(x: Tensor, y: Tensor) -> list[Tensor]:
    OUTSIDE.add_(x)
    return [OUTSIDE + y]


def changes_several(x: Tensor, y: Tensor) -> list[Tensor]:
    torch._foreach_add_([y, OUTSIDE], 1.0)
    return [x + y]


def writes_into_another(x: Tensor, y: Tensor) -> list[Tensor]:
    return [torch.add(x, y, out=OUTSIDE)]


REFUSED: dict[str, Function] = {
    "looks at a value": lambda x, y: [x if x[0, 0] > 0 else y],
    "has a number of a tensor": lambda x, y: [x * float(y[0, 0])],
    "has a shape that depends on values": lambda x, y: [x[x > 0], y],
    "has a generator": lambda x, y: [x + torch.rand(4, generator=torch.Generator()), y],
    "counts its calls": Counter().scaled,
    "draws from numpy": noise_of_numpy,
    "changes a tensor of others": changes_another,
    "changes one of several": changes_several,
    "has another for its result": writes_into_another,
    "turns a tensor round in place": lambda x, y: [(x + 1).t_(), y],
    "fails": lambda x, y: [x @ y[:3]],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_repeat_is_refused(name: str) -> None:
    assert recorded_program(REFUSED[name], inputs()) is None
    assert torch.equal(OUTSIDE, torch.zeros(4, 4))


def test_rows_that_share_memory_are_refused() -> None:
    shared = torch.zeros(1, 4).expand(4, 4)
    assert recorded_program(lambda x: [x + 1], [shared]) is None


ASIDE: dict[str, Function] = {
    "by NumPy": lambda x, y: [x + torch.from_numpy(np.tanh(y.numpy()))],
    "in Python": lambda x, y: [x * y.tolist()[0][0]],
    "of random numbers": lambda x, y: [x, y + torch.rand(4).tolist()[0]],
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_is_computed_out_of_sight_shows_with_other_inputs(name: str) -> None:
    others = [one + 1 for one in inputs()]
    assert recorded_program(ASIDE[name], inputs(), others) is None


FACTORS: dict[str, tuple[bool, Function]] = {
    "a factor": (True, lambda b, x: [x * b[0, 0].to(torch.float32)]),
    "a factor of two terms": (True, lambda b, x: [b[0, 0] * x, x * b.select(0, 0)]),
    "a term": (False, lambda b, x: [x + b[0, 0]]),
    "a power": (False, lambda b, x: [x ** b[0, 0]]),
    "a result": (False, lambda b, x: [x, b.unbind()[0]]),
    "a factor of itself": (False, lambda b, x: [x * (b[0, 0] * b[0, 0])]),
    "a factor of a number": (False, lambda b, x: [x * (b[0, 0] * 0.37)]),
    "the factor of a factor": (True, lambda b, x: [x * b[0, 0] * b[0, 0]]),
}


@pytest.mark.parametrize("name", FACTORS)
def test_whether_an_input_only_multiplies(name: str) -> None:
    expected, function = FACTORS[name]
    given: list[Any] = [torch.ones(1, 1, dtype=torch.float64), torch.ones(3)]
    program = recorded_program(function, given)
    assert program is not None
    assert program.only_multiplies(0) is expected


def test_two_programs_are_the_same_where_they_compute_the_same() -> None:
    def function(number: float, constant: float) -> Program:
        program = recorded_program(
            lambda x: [x * number + torch.tensor([constant])], [torch.ones(1)]
        )
        assert program is not None
        return program

    assert function(2.0, 3.0).same_as(function(2.0, 3.0))
    assert not function(2.0, 3.0).same_as(function(2.5, 3.0))
    assert not function(2.0, 3.0).same_as(function(2.0, 3.5))
