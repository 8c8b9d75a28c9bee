"""Replayed steps are the eager ones to the last bit, and what can't be replayed stays eager."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyro_vae.compiler.program import Program
from pyro_vae.objectives import ELBO, Terms
from pyro_vae.training import FitOptions, Run, fit, replayed_terms, step_choice
from pyro_vae.training import replayed_step as module
from pyro_vae.training.replay import Replay
from pyro_vae.training.replayed_step import ReplayedSteps
from pyro_vae.training.replayed_terms import ReplayedTerms, eager_terms
from pyro_vae.training.step_choice import choose_steps, choose_terms, with_guard
from pyro_vae.training.train_step import ScheduleValues, State, steps
from pyro_vae.vae import VAE
from tests.training.small import X, same, small, weights

RUN: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 16,
    "validation": 4,
    "progress": False,
}
"""Two full batches and one of 14 rows in each of 12 epochs: of the full ones those of the last nine
epochs are replayed, of the others those of the last seven."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps and validations are recorded after 4, so that short runs have both kinds."""
    monkeypatch.setattr(module, "WORTH_RECORDING", 4)
    monkeypatch.setattr(replayed_terms, "WORTH_RECORDING", 4)


class Replays:
    """What was replayed, and the records of steps, since the start of a test."""

    def __init__(self) -> None:
        self.steps = 0
        self.validations = 0
        self.records = 0


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Replays:
    counted = Replays()
    make, record = Replay.steps, ReplayedSteps._replay
    again = ReplayedTerms._again

    def counting(self: Replay, state: State, batches: Tensor, *others: Any) -> Any:
        counted.steps += len(batches)
        return make(self, state, batches, *others)

    def recording(self: ReplayedSteps, *given: Any) -> Replay | None:
        counted.records += 1
        return record(self, *given)

    def validating(self: ReplayedTerms, *given: Any) -> Terms:
        counted.validations += 1
        return again(self, *given)

    monkeypatch.setattr(Replay, "steps", counting)
    monkeypatch.setattr(ReplayedTerms, "_again", validating)
    monkeypatch.setattr(ReplayedSteps, "_replay", recording)
    return counted


def columns(run: Run) -> list[dict[str, float]]:
    """The history without its seconds."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]


def both(make: Callable[[], VAE], x: Any = X, **options: Any) -> tuple[VAE, VAE]:
    """Two models after the same run, eager and by default, whose histories are the same."""
    found = [make(), make()]
    runs = [
        fit(vae, x, compile=how, **{**RUN, **options})
        for vae, how in zip(found, ("off", "auto"), strict=True)
    ]
    assert columns(runs[0]) == columns(runs[1])
    return found[0], found[1]


def with_layer(make: Callable[[], nn.Module]) -> VAE:
    """A model with a layer of torch in its encoder."""
    torch.manual_seed(0)
    return small(encoder=nn.Sequential(nn.Linear(4, 8), make(), nn.Linear(8, 4)))


MODELS: dict[str, Callable[[], VAE]] = {
    "plain": small,
    "dropout": partial(with_layer, nn.Dropout),
    "statistics of batches": partial(with_layer, partial(nn.BatchNorm1d, 8)),
    "a flow, drawn five times": partial(small, prior="flow", guide="full_rank"),
    "a mixture": partial(small, prior={"kind": "mixture", "components": 3}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "warm-up": {"kl_warmup_epochs": 9},
    "clipped, averaged": {"clip_norm": 0.5, "ema_decay": 0.9},
    "SGD": {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}},
    "IWAE": {"objective": {"kind": "iwae", "num_particles": 3}},
    "one batch": {"batch_size": 50},
    "new bits": {"binarize": "dynamic"},
}


@pytest.mark.parametrize("name", MODELS)
def test_models_are_the_same_to_the_last_bit(name: str, replays: Replays) -> None:
    one, other = both(MODELS[name])
    assert same(weights(one), weights(other))
    assert replays.steps == 25
    assert replays.validations == 8


@pytest.mark.parametrize("name", OPTIONS)
def test_so_they_are_with_other_options(name: str, replays: Replays) -> None:
    x = (X - X.min()) / (X.max() - X.min())
    likelihood = "bernoulli" if name == "new bits" else "normal"
    one, other = both(partial(small, likelihood=likelihood), x, **OPTIONS[name])
    assert same(weights(one), weights(other))
    assert replays.steps > 5


def test_missing_cells_too(replays: Replays) -> None:
    x = X.copy()
    x[::3, 1] = np.nan
    one, other = both(partial(small, missing="at_random"), x)
    assert same(weights(one), weights(other))
    assert replays.steps > 20


def test_each_shape_of_batches_has_a_record_and_one_optimizer(replays: Replays) -> None:
    one, other = both(small, batch_size=23)  # 46 rows
    assert same(weights(one), weights(other))
    assert replays.records == 1
    one, other = both(small, batch_size=30)
    assert same(weights(one), weights(other))
    assert replays.records == 3


def test_the_optimizer_counts_as_it_did() -> None:
    vaes = small(), small()
    optimizers = []

    def make(parameters: Any) -> torch.optim.Adam:
        optimizers.append(torch.optim.Adam(parameters, fused=True))
        return optimizers[-1]

    for vae, how in zip(vaes, ("off", "auto"), strict=True):
        fit(vae, X, optimizer=make, compile=how, **RUN)
    one, other = (list(each.state_dict()["state"].values()) for each in optimizers)
    assert all(
        torch.equal(first[name], second[name])
        for first, second in zip(one, other, strict=True)
        for name in first
    )


def test_the_gradient_of_the_last_step_is_in_the_weights() -> None:
    vaes = small(), small()
    for vae, how in zip(vaes, ("off", "auto"), strict=True):
        fit(vae, X, compile=how, **{**RUN, "batch_size": 50})
    for one, other in zip(*(vae.parameters() for vae in vaes), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


# What is not replayed


class Counted:
    """The ELBO of a user, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, model: Any, guide: Any, x: Tensor, beta: float = 1.0) -> Terms:
        self.calls += 1
        return ELBO()(model, guide, x, beta)


def test_python_of_the_user_runs_in_each_step_unless_it_is_to_be_replayed(
    replays: Replays,
) -> None:
    often, once = Counted(), Counted()
    one, other = small(), small()
    fit(one, X, objective=often, **RUN)
    assert replays.steps == replays.validations == 0
    assert often.calls == 1 + 12 * (3 + 1)
    fit(other, X, objective=once, compile="replay", **RUN)
    assert replays.steps == 25
    assert once.calls < often.calls
    assert same(weights(one), weights(other))


def test_a_loss_that_counts_its_calls_stays_eager(replays: Replays) -> None:
    class Growing(Counted):
        def __call__(
            self, model: Any, guide: Any, x: Tensor, beta: float = 1.0
        ) -> Terms:
            terms = super().__call__(model, guide, x, beta)
            return terms._replace(loss=terms.loss * self.calls)

    objective = Growing()
    fit(small(), X, objective=objective, compile="replay", **RUN)
    assert replays.steps == 0


def test_hooks_stay_in_each_step(replays: Replays) -> None:
    vae = small()
    calls = []
    vae.posterior.encoder.register_forward_hook(lambda *given: calls.append(1))
    fit(vae, X, **RUN)
    assert replays.steps == 0
    assert len(calls) == 1 + 12 * (3 + 1)
    with pytest.warns(UserWarning, match="while the step is recorded"):
        fit(vae, X, compile="replay", **RUN)


# What a callback changes


def test_what_a_callback_changes_is_in_the_steps_after_it(
    replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORTH_RECORDING", 2)  # as many as an epoch has

    def trained(how: str) -> VAE:
        vae = with_layer(nn.Dropout)
        (dropout,) = [one for one in vae.modules() if isinstance(one, nn.Dropout)]

        def less(row: dict[str, float]) -> None:
            if row["epoch"] == 8:
                dropout.p = 0.1

        fit(vae, X, compile=how, callbacks=[less], **RUN)
        return vae

    one, other = map(trained, ("off", "auto"))
    assert same(weights(one), weights(other))
    assert 0 < replays.steps < 16


def test_a_weight_that_a_callback_freezes_is_frozen(
    replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORTH_RECORDING", 2)  # as many as an epoch has

    def trained(how: str) -> VAE:
        vae = small()

        def freeze(row: dict[str, float]) -> None:
            if row["epoch"] == 8:
                vae.likelihood.requires_grad_(False)

        fit(vae, X, compile=how, callbacks=[freeze], **RUN)
        return vae

    one, other = map(trained, ("off", "auto"))
    assert same(weights(one), weights(other))
    assert replays.steps > 5


def test_steps_between_two_callbacks_that_are_few_stay_eager(replays: Replays) -> None:
    fit(small(), X, callbacks=[lambda row: None], **RUN)
    assert replays.records == replays.validations == 0


# What is not finite


def growing(done: float) -> float:
    """A learning rate that a run survives for eight epochs."""
    return 50 * 10 ** (40 * done)


def test_a_batch_that_is_not_finite_ends_the_run_as_an_eager_one(
    replays: Replays,
) -> None:
    messages = []
    for how in ("off", "auto"):
        with pytest.raises(ValueError, match="not finite in epoch") as caught:
            fit(small(), X, compile=how, schedule=growing, **{**RUN, "epochs": 60})
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "rows" in messages[0]
    assert replays.steps > 0


def test_a_step_that_is_not_finite_is_made_by_the_eager_one(replays: Replays) -> None:
    """Which leaves the weights alone, and says so, with the statistics as they were."""

    def run(makes: Callable[..., Any]) -> tuple[dict[str, Tensor], Tensor, State]:
        vae = with_layer(partial(nn.BatchNorm1d, 8))
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
        vae.train()
        state = State(vae, ELBO(), optimizer, on_nonfinite="skip")
        batches = torch.as_tensor(X[:48]).reshape(6, 8, 4).clone()
        bad = batches.clone()
        bad[2, 3, 1] = 1e30
        found = []
        for stack in (batches, batches, bad, batches):
            state, metrics = makes(state, stack, [ScheduleValues.of(state)] * 6)
            found.append(metrics)
        return weights(vae), torch.cat(found), state

    one, expected, eager = run(steps)
    other, metrics, replayed = run(ReplayedSteps(with_foreign_code=True).steps)
    torch.testing.assert_close(metrics, expected, rtol=0, atol=0, equal_nan=True)
    assert same(one, other)
    assert eager.skipped == replayed.skipped == 1
    assert replays.steps == 18


# When


def test_by_default_short_runs_are_replayed_and_looked_at() -> None:
    vae = small()
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
    options = FitOptions()
    function: Any = choose_steps(state, options, 100)
    assert isinstance(function.__self__, ReplayedSteps)
    assert not function.__self__.with_foreign_code
    assert with_guard(state, options, function).on_nonfinite == "stop"
    asked: Any = choose_steps(state, FitOptions(compile="replay"), 10**7)
    assert asked.__self__.with_foreign_code
    assert choose_steps(state, FitOptions(compile="off"), 100) is steps


def test_what_cannot_be_recorded_is_made_otherwise(replays: Replays) -> None:
    made = []

    def otherwise(state: State, batches: Tensor, schedule: Any) -> Any:
        made.append(len(batches))
        return steps(state, batches, schedule)

    vae = small()
    state = State(vae, Counted(), torch.optim.Adam(vae.parameters()))
    replayed = ReplayedSteps(otherwise=otherwise)
    stack = torch.as_tensor(X[:48]).reshape(3, 16, 4)
    for _ in range(4):
        state, _ = replayed.steps(state, stack, [ScheduleValues.of(state)] * 3)
    assert made == [3, 3, 3]
    assert state.steps == 12


def test_once_a_shape_is_made_otherwise_all_are(
    replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiled step has the optimizer's counts in a tensor of its own."""
    made = []

    def otherwise(state: State, batches: Tensor, schedule: Any) -> Any:
        made.append(tuple(batches.shape[:2]))
        return steps(state, batches, schedule)

    record = ReplayedSteps._replay

    def of_large_batches(
        self: ReplayedSteps, state: State, batch: Tensor
    ) -> Replay | None:
        return record(self, state, batch) if len(batch) == 16 else None

    monkeypatch.setattr(ReplayedSteps, "_replay", of_large_batches)
    vae = small()
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters(), fused=True))
    replayed = ReplayedSteps(otherwise=otherwise)
    large = torch.as_tensor(X[:48]).reshape(3, 16, 4)
    small_one = torch.as_tensor(X[:9]).reshape(3, 3, 4)
    for stack in (large, large, large, small_one, small_one, large):
        state, _ = replayed.steps(state, stack, [ScheduleValues.of(state)] * 3)
    assert replays.steps == 3
    assert made == [(3, 3), (3, 16)]
    assert {float(one["step"]) for one in state.optimizer.state.values()} == {18.0}


def test_of_many_shapes_four_are_recorded(replays: Replays) -> None:
    vae = small()
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
    replayed = ReplayedSteps()
    for rows in range(3, 9):
        stack = torch.as_tensor(X[: 5 * rows]).reshape(5, rows, 4)
        state, _ = replayed.steps(state, stack, [ScheduleValues.of(state)] * 5)
    assert replays.records == 4


def test_an_error_in_the_trial_is_left_to_the_eager_step(
    replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*inputs: Tensor) -> Any:
        raise RuntimeError("not positive definite")

    monkeypatch.setattr(Program, "in_torchscript", lambda self, inputs: failing)
    one, other = both(small)
    assert same(weights(one), weights(other))
    assert replays.records == 2
    assert replays.steps == replays.validations == 0


def test_validation_rows_of_several_processes_are_eager(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vae = small()
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
    assert isinstance(choose_terms(state, FitOptions(), []), ReplayedTerms)
    monkeypatch.setattr(step_choice, "world_size", lambda: 2)
    assert choose_terms(state, FitOptions(), []) is eager_terms


def test_terms_of_another_beta_or_shape_are_others(replays: Replays) -> None:
    vae = small().eval()
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
    terms = ReplayedTerms()
    rows = torch.as_tensor(X)

    def agree(rows: Tensor, beta: float) -> bool:
        torch.manual_seed(0)
        expected = state.terms(rows, beta)
        torch.manual_seed(0)
        found = terms(state, rows, beta)
        return found.kl == expected.kl and all(
            torch.equal(getattr(found, name), getattr(expected, name))
            for name in ("rate", "distortion", "loss")
        )

    with torch.no_grad():
        for _ in range(6):
            assert agree(rows, 1.0)
            assert agree(rows, 0.5)
            assert agree(rows[:7], 1.0)
    assert replays.validations == 6
