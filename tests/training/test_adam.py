"""Adam as a function against torch's own, and optimizers whose hooks must fire."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle

from pyro_vae.objectives import ELBO
from pyro_vae.training import CompiledStep, FitOptions, State, adam, fit
from pyro_vae.training import compiled_graph as module
from pyro_vae.training.step_choice import stepper
from tests.training.small import X, small, weights

OPTIONS: dict[str, dict[str, Any]] = {
    "a large eps": {"eps": 1e-2},
    "a larger eps": {"eps": 1.0, "betas": (0.5, 0.9)},
    "weight decay": {"eps": 1e-2, "weight_decay": 0.1},
    "maximize": {"eps": 1e-2, "maximize": True},
}


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of the compiled step runs as it is."""
    monkeypatch.setattr(module, "_compile", lambda graph, inputs: graph.module)


# Its numbers


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_update_is_that_of_torch(
    kind: type[Optimizer], options: dict[str, Any]
) -> None:
    """θ ← θ - lr m̂ / (√v̂ + ε), with ε beside the corrected root, which is between 10⁻³ and 1."""
    generator = torch.Generator().manual_seed(0)
    gradients = 10 ** (-3 * torch.rand(20, 6, generator=generator, dtype=torch.float64))
    weight = torch.nn.Parameter(torch.ones(6, dtype=torch.float64))
    optimizer = kind([weight], lr=0.1, **options)
    ours = weight.detach().clone()
    mean, square = torch.zeros_like(ours), torch.zeros_like(ours)
    (group,) = optimizer.param_groups
    for step, gradient in enumerate(gradients, start=1):
        weight.grad = gradient.clone()
        optimizer.step()
        numbers = [
            float(np.squeeze(number))
            for number in adam.rates(group, [0.1], np.array([step]))
        ]
        rates = torch.tensor(numbers, dtype=torch.float64)
        adam.update(ours, gradient.clone(), mean, square, rates, group)
    torch.testing.assert_close(ours, weight.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("eps", [1e-8, 1e-2, 1.0])
def test_a_run_of_the_compiled_step_has_the_eps_of_the_eager_one(
    eps: float, uncompiled: None
) -> None:
    ends = []
    for how in ("step", "off"):
        vae = small().double()
        fit(
            vae,
            X,
            compile=how,
            epochs=3,
            batch_size=16,
            lr=1e-2,
            validation=4,
            optimizer_options={"eps": eps},
        )
        ends.append(weights(vae))
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-6, atol=1e-8)


# Hooks of its steps


class Counted:
    """A hook that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *arguments: Any) -> None:
        self.calls += 1


def hook_before(optimizer: Optimizer, hook: Counted) -> Any:
    return optimizer.register_step_pre_hook(hook)


def hook_after(optimizer: Optimizer, hook: Counted) -> Any:
    return optimizer.register_step_post_hook(hook)


def hook_before_every_optimizer(optimizer: Optimizer, hook: Counted) -> Any:
    return register_optimizer_step_pre_hook(hook)


def hook_after_every_optimizer(optimizer: Optimizer, hook: Counted) -> Any:
    return register_optimizer_step_post_hook(hook)


def step_put_on_it(optimizer: Optimizer, hook: Counted) -> Any:
    """As by a wrapper, or by torch's learning rate schedulers."""
    step = optimizer.step
    optimizer.step = lambda: (hook(), step())  # type: ignore[assignment,func-returns-value]
    return RemovableHandle(OrderedDict())


HOOKS = [
    hook_before,
    hook_after,
    hook_before_every_optimizer,
    hook_after_every_optimizer,
    step_put_on_it,
]


@pytest.fixture(params=HOOKS, ids=lambda register: register.__name__)
def register(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Registers a hook, which is gone after the test."""
    handles = []

    def registered(optimizer: Optimizer, hook: Counted) -> None:
        handles.append(request.param(optimizer, hook))

    yield registered
    for handle in handles:
        handle.remove()


def test_an_optimizer_with_hooks_is_not_compiled_and_they_fire(
    register: Any, uncompiled: None
) -> None:
    """3 epochs of 3 batches."""
    hook = Counted()

    def make(parameters: Any) -> Adam:
        optimizer = Adam(parameters, lr=1e-2)
        register(optimizer, hook)
        return optimizer

    options = {"epochs": 3, "batch_size": 16, "validation": 4}
    with pytest.warns(
        UserWarning,
        match="only the loss and its gradient are compiled, not the optimizer",
    ):
        fit(small(), X, compile="step", optimizer=make, **options)
    assert hook.calls == 9


def test_auto_leaves_an_optimizer_with_hooks_outside(register: Any) -> None:
    optimizer = Adam(small().parameters())
    register(optimizer, Counted())
    chosen: Any = stepper(FitOptions(), optimizer, 10**6)
    assert not chosen.__self__.with_optimizer


@pytest.mark.slow
def test_hooks_that_come_after_the_first_step_fire(
    register: Any, uncompiled: None
) -> None:
    vae, hook, batch = small(), Counted(), torch.as_tensor(X[:16])
    state, move = State(vae, ELBO(), Adam(vae.parameters())), CompiledStep()
    for _ in range(3):
        state, _ = move(state, batch)
    register(state.optimizer, hook)
    for _ in range(2):
        state, _ = move(state, batch)
    assert hook.calls == 2
    counts: list[Tensor] = [kept["step"] for kept in state.optimizer.state.values()]
    assert {float(count) for count in counts} == {5.0}
