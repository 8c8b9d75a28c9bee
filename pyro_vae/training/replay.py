"""One step of batches of one shape, made again from its operations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pyro_vae.compiler.program import Program, Run
from pyro_vae.compiler.recorded_program import recorded_program
from pyro_vae.compiler.same_numbers import same_numbers
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.training.clipping import clipped
from pyro_vae.training.nonfinite import NotFiniteStep
from pyro_vae.training.steps_of_tensors import (
    StepsOfTensors,
    changing_numbers,
    other_numbers,
)
from pyro_vae.training.train_step import (
    Info,
    ScheduleValues,
    State,
    step,
    weights_of,
    with_schedule_values,
)
from pyro_vae.training.update import Update

Found = tuple[Tensor, list[Tensor]]
"""The metrics of a step, (4,), and the clipped gradient of each weight."""
Trial = tuple[Tensor, list[Tensor], Tensor]
"""The same, and the state of torch's generator afterwards."""
Before = tuple[Tensor, list[Tensor]]
"""The state of torch's generator, and tensors."""


class Replay:
    """The operations of a step up to its gradient, and the tensors that they read and change.

    Where β is only a factor, one record is of all β: the same number in a tensor gives the same.

    Arguments:
        state, batch: the step, which is not made.

    Attributes:
        program: None where the step can't be recorded.
        beta: β as a constant of the record; None takes it as a number that changes.
        reached: the weights that have a gradient.
    """

    def __init__(self, state: State, batch: Tensor) -> None:
        self.program: Program | None = None
        for beta in (None, state.beta):
            function = StepsOfTensors(state, False, beta, share=1.0)
            self.beta = beta
            self.slots = list(function.slots.values())
            whole = _with_clipping(function, state.clip_norm)
            with unvalidated():
                program = recorded_program(
                    whole, self._inputs(state, batch), self._others(state, batch)
                )
            if program is None:
                continue
            if beta is not None or program.only_multiplies(len(self.slots)):
                self.program = program
                break
        self.reached = [function.weights[name] for name in function.reached]
        self.run: Run | None = None
        self.changing: set[int] = set()  # the inputs that a call changes

    def same_as(self, other: "Replay") -> bool:
        """Whether another record is of these operations of these tensors."""
        if self.program is None or other.program is None or self.beta != other.beta:
            return False
        mine = [*self._tensors(), *self.reached]
        others = [*other._tensors(), *other.reached]
        is_same = [id(one) for one in mine] == [id(one) for one in others]
        return is_same and self.program.same_as(other.program)

    def fits(self, schedule: Sequence[ScheduleValues]) -> bool:
        """Whether the record is of steps with these β."""
        return self.beta is None or all(one.beta == self.beta for one in schedule)

    def trial(self, state: State, batch: Tensor) -> Trial | None:
        """What the next step will have; neither tensors nor random numbers change.

        None where that is an error, which is for the step to raise.
        """
        assert self.program is not None
        inputs = self._inputs(state, batch)
        self.run = self.program.in_torchscript([one.detach().clone() for one in inputs])
        copies = [one.detach().clone() for one in inputs]
        try:
            with torch.no_grad(), torch.random.fork_rng([]):
                metrics, *gradients = self.run(*copies)
                noise = torch.get_rng_state()
        except RuntimeError:
            return None
        pairs = enumerate(zip(inputs, copies, strict=True))
        # torch has operations that don't say so, such as those of BatchNorm's statistics
        unsaid = {key for key, (one, copy) in pairs if not same_numbers(one, copy)}
        self.changing = unsaid.union(self.program.changed)
        return metrics, gradients, noise

    def agrees(self, trial: Trial, state: State, info: Info) -> bool:
        """Whether a trial has the numbers of the step, which has just been made, to the bit."""
        metrics, gradients, noise = trial
        is_same = torch.equal(noise, torch.get_rng_state())
        reached = {id(weight) for weight in self.reached}
        others = [one for one in weights_of(state.optimizer) if id(one) not in reached]
        return (
            is_same
            and all(weight.grad is None for weight in others)
            and same_numbers(metrics, torch.stack(info))
            and all(
                weight.grad is not None and same_numbers(weight.grad, gradient)
                for weight, gradient in zip(self.reached, gradients, strict=True)
            )
        )

    def steps(
        self,
        state: State,
        batches: Tensor,
        schedule: Sequence[ScheduleValues],
        update: Update,
    ) -> tuple[State, Tensor]:
        """A step for each batch, as `steps`; one that isn't finite is made again by `step`.

        Arguments:
            update: of the weights that are reached.
        """
        tensors = self._tensors()
        numbers = changing_numbers(schedule, [], 1, batches.device).split(1)
        triples = zip(batches.split(1), numbers, schedule, strict=True)
        is_looking = state.on_nonfinite is not None
        metrics = []
        gradients: list[Tensor] = []
        for index, (stack, beta, values) in enumerate(triples):
            state = with_schedule_values(state, values)
            before = self._before(tensors)
            made = self._made([*tensors, beta, stack], is_looking)
            if made is None:
                self._restore(tensors, before)
                state, found = _eager(state, stack[0], index)
                gradients = []
            else:
                found, gradients = made
                update.move(gradients)
                state = replace(state, steps=state.steps + 1)
            metrics.append(found)
        for weight, gradient in zip(self.reached, gradients, strict=False):
            weight.grad = gradient  # where an eager step leaves it
        return state, torch.stack(metrics)

    def _made(self, inputs: Sequence[Tensor], is_looking: bool) -> Found | None:
        """What the record makes; None where that is an error, or looked at and not finite."""
        assert self.run is not None
        try:
            with torch.no_grad():
                metrics, *gradients = self.run(*inputs)
        except RuntimeError:  # such as that of a matrix that isn't positive definite
            return None
        if is_looking and not math.isfinite(float(metrics.sum())):
            return None
        return metrics, gradients

    def _tensors(self) -> list[Tensor]:
        return [container[key] for container, key in self.slots]

    def _inputs(self, state: State, batch: Tensor) -> list[Tensor]:
        """All that the step reads: tensors, β, and the batch."""
        numbers = changing_numbers([ScheduleValues.of(state)], [], 1, batch.device)
        return [*self._tensors(), numbers, batch.unsqueeze(0)]

    def _others(self, state: State, batch: Tensor) -> list[Tensor]:
        """The inputs of a step that makes the same operations of other numbers."""
        *tensors, numbers, stack = self._inputs(state, batch)
        return [*other_numbers(tensors), numbers, stack.roll(1, 1)]

    def _before(self, tensors: Sequence[Tensor]) -> Before:
        """The state of the random numbers, and what a call changes."""
        copies = [tensors[key].clone() for key in self.changing]
        return torch.get_rng_state(), copies

    def _restore(self, tensors: Sequence[Tensor], before: Before) -> None:
        noise, copies = before
        torch.set_rng_state(noise)
        for key, copy in zip(self.changing, copies, strict=True):
            tensors[key].copy_(copy)


def _with_clipping(
    function: StepsOfTensors, clip_norm: float | None
) -> Callable[..., list[Tensor]]:
    """The metrics of one step, (4,), and the clipped gradients, as an eager step has them."""

    def whole(*inputs: Tensor) -> list[Tensor]:
        metrics, *gradients = function(*inputs)
        norm, gradients = clipped(gradients, clip_norm)
        return [torch.cat([metrics[0], norm.view(1)]), *gradients]

    return whole


def _eager(state: State, batch: Tensor, index: int) -> tuple[State, Tensor]:
    """The eager step, which says what isn't finite, of the batch with this number."""
    try:
        state, info = step(state, batch)
    except NotFiniteStep as error:
        error.number = index
        raise
    return state, torch.stack(info)
