"""Replayed steps beside eager ones in what once went wrong."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyro_vae.objectives import ELBO
from pyro_vae.training import fit, replayed_terms
from pyro_vae.training import replayed_step as module
from pyro_vae.training.replay import Replay
from pyro_vae.training.replayed_step import ReplayedSteps
from pyro_vae.training.train_step import ScheduleValues, State, steps
from pyro_vae.vae import VAE
from tests.training.small import X, same, small, weights, without_clock

RUN = {"epochs": 6, "batch_size": 10, "validation": 4, "progress": False}


class Replays:
    """The number of steps that were replayed since the start of a run."""

    steps = 0


@pytest.fixture(autouse=True)
def replays(monkeypatch: pytest.MonkeyPatch) -> type[Replays]:
    """Steps are recorded after one, and the terms of validation rows after two."""
    Replays.steps = 0
    monkeypatch.setattr(module, "WORTH_RECORDING", 1)
    monkeypatch.setattr(replayed_terms, "WORTH_RECORDING", 2)
    make = Replay.steps

    def counting(self: Replay, state: State, batches: Tensor, *others: Any) -> Any:
        Replays.steps += len(batches)
        return make(self, state, batches, *others)

    monkeypatch.setattr(Replay, "steps", counting)
    return Replays


Change = Callable[[VAE, torch.optim.Optimizer], Any]


def trained(
    how: str,
    make: Callable[[], VAE] = small,
    change: Change | None = None,
    **other: Any,
) -> list[Any]:
    """All numbers that a run leaves; `change` is made by a callback after the fourth epoch."""
    Replays.steps = 0
    vae = make()
    optimizers: list[torch.optim.Optimizer] = []

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        optimizers.append(torch.optim.Adam(parameters, lr=1e-2, fused=True))
        return optimizers[0]

    def callback(row: dict[str, float]) -> None:
        if row["epoch"] == 4 and change is not None:
            change(vae, optimizers[0])

    options: dict[str, Any] = {"optimizer": optimizer, **RUN, **other}
    callbacks = [callback] if change is not None else []
    run = fit(vae, X, compile=how, callbacks=callbacks, **options)
    states = [each.state_dict()["state"] for each in optimizers]
    moments = [
        {name: one.tolist() for name, one in moments.items()}
        for state in states
        for _, moments in sorted(state.items())
    ]
    values = {name: one.tolist() for name, one in weights(vae).items()}
    return [without_clock(run.history), values, moments]


# What a callback changes


def reset_moments(vae: VAE, optimizer: torch.optim.Optimizer) -> None:
    for state in optimizer.state.values():
        state["exp_avg"] = torch.zeros_like(state["exp_avg"])


def load_state(vae: VAE, optimizer: torch.optim.Optimizer) -> None:
    state = deepcopy(optimizer.state_dict())
    for moments in state["state"].values():
        moments["exp_avg_sq"] *= 9
    optimizer.load_state_dict(state)


def unfuse(vae: VAE, optimizer: torch.optim.Optimizer) -> None:
    optimizer.param_groups[0]["fused"] = False


def another_weight(vae: VAE, optimizer: torch.optim.Optimizer) -> None:
    """In the module and in the optimizer, so that it trains on."""
    (layer, *_) = [one for one in vae.modules() if isinstance(one, nn.Linear)]
    before, new = layer.weight, nn.Parameter(layer.weight.detach().clone())
    layer.weight = new
    optimizer.state[new] = optimizer.state.pop(before)
    (group,) = optimizer.param_groups
    group["params"] = [new if one is before else one for one in group["params"]]


CHANGES: dict[str, Change] = {
    "other moments": reset_moments,
    "none": lambda vae, optimizer: optimizer.state.clear(),
    "those of a file": load_state,
    "another kernel": unfuse,
    "another weight": another_weight,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_callback_does_to_the_optimizer(
    name: str, replays: type[Replays]
) -> None:
    expected = trained("off", change=CHANGES[name])
    assert trained("auto", change=CHANGES[name]) == expected
    assert replays.steps > 0


class Tanh(nn.Module):
    """A layer of the user."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Tanh.calls += 1
        return torch.tanh(x)


def put_layer(vae: VAE, optimizer: Any) -> None:
    (tanh,) = [name for name, one in vae.named_modules() if type(one) is nn.Tanh]
    vae.set_submodule(tanh, Tanh())


def with_tanh() -> VAE:
    torch.manual_seed(0)
    return small(encoder=nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)))


def count(*given: Any) -> None:
    Tanh.calls += 1


PYTHON: dict[str, Change] = {
    "a layer": put_layer,
    "a hook of a module": lambda vae, _: vae.posterior.register_forward_hook(count),
    "a hook of the optimizer": lambda _, one: one.register_step_post_hook(count),
    "a hook of a weight": lambda vae, _: next(vae.parameters()).register_hook(
        lambda slope: count() or 2 * slope
    ),
}


@pytest.mark.parametrize("name", PYTHON)
def test_python_that_a_callback_puts_into_a_step_runs_in_each(
    name: str, replays: type[Replays]
) -> None:
    found = []
    for how in ("off", "auto"):
        Tanh.calls = 0
        found.append([trained(how, with_tanh, PYTHON[name]), Tanh.calls])
    assert found[0] == found[1]
    assert replays.steps > 0


# What the record doesn't show


class Own(nn.Module):
    """An encoder of the user: two layers, a weight, and what `change` makes of them."""

    def __init__(self, change: Callable[["Own", Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
        self.weight = nn.Parameter(torch.ones(3, 4))
        self.weights = [self.weight]
        self.register_buffer("calls", torch.zeros(()))
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self, self.layers(x))


def with_own(change: Callable[[Own, Tensor], Tensor]) -> Callable[[], VAE]:
    return lambda: small(encoder=Own(change))


def test_a_gradient_lies_in_memory_as_its_weight_does(replays: type[Replays]) -> None:
    """Autograd has one number for all elements of a sum."""
    make = with_own(lambda own, h: h + 0.01 * own.weight.sum())
    expected = trained("off", make)
    assert trained("replay", make) == expected
    assert replays.steps > 0


def test_a_weight_that_the_record_does_not_reach(replays: type[Replays]) -> None:
    """It is in a list too, where its gradient is lost, and too small to change the norm."""
    make = with_own(lambda own, h: h + 1e-6 * own.weights[0].sum(0))
    expected = trained("off", make)
    assert trained("replay", make) == expected
    assert replays.steps == 0


def test_a_buffer_that_each_call_replaces(replays: type[Replays]) -> None:
    """Those of validation rows too."""

    def counted(own: Own, h: Tensor) -> Tensor:
        own.calls = own.calls + 1
        return h + 0.01 * own.calls

    make = with_own(counted)
    expected = trained("off", make)
    assert trained("replay", make) == expected
    assert replays.steps > 0


def test_an_optimizer_of_the_user_is_called_as_in_eager_steps(
    replays: type[Replays],
) -> None:
    calls: list[str] = []

    class Noted(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            calls.append("step")
            return super().step(closure)

        def zero_grad(self, set_to_none: bool = True) -> None:
            calls.append("zero_grad")
            super().zero_grad(set_to_none)

    def make(weights: Any) -> torch.optim.Optimizer:
        return Noted(weights, lr=1e-3)

    expected = trained("off", optimizer=make)
    eager, calls = calls, []
    assert trained("auto", optimizer=make) == expected
    assert calls == eager
    assert replays.steps > 0


ASIDE: dict[str, Callable[[Own, Tensor], Tensor]] = {
    "of a batch": lambda own, h: h + torch.from_numpy(np.tanh(h.detach().numpy())),
    "of a weight": lambda own, h: h * own.weight.tolist()[0][0] + own.weight.sum(0),
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_is_computed_without_torch_is_computed_in_each_step(
    name: str, replays: type[Replays]
) -> None:
    make = with_own(ASIDE[name])
    expected = trained("off", make)
    assert trained("replay", make) == expected
    assert replays.steps == 0


class Largest(Own):
    """Only a batch that is not finite changes its buffer, and is left out."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls.copy_(torch.maximum(self.calls, x.abs().max() - 1e6))
        return super().forward(x) + self.calls


def test_a_buffer_that_the_recorded_step_left_as_it_was(
    replays: type[Replays],
) -> None:
    rows = torch.as_tensor(X[:48]).reshape(6, 8, 4)
    bad = rows.clone()
    bad[2, 3, 1] = 1e30

    def run(makes: Callable[..., Any]) -> dict[str, Tensor]:
        vae = small(encoder=Largest(lambda own, h: h)).train()
        optimizer = torch.optim.Adam(vae.parameters(), fused=True)
        state = State(vae, ELBO(), optimizer, on_nonfinite="skip")
        torch.manual_seed(0)
        for stack in (rows, rows, bad, rows):
            state, _ = makes(state, stack, [ScheduleValues.of(state)] * 6)
        assert state.skipped == 1
        return weights(vae)

    made = ReplayedSteps(with_foreign_code=True)
    assert same(run(steps), run(made.steps))
    assert replays.steps == 18
