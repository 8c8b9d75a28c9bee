"""Steps as a compiled graph: its tensors and numbers, and when it may be used."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiler.cuda_graph import CUDAGraphed
from pyro_vae.compiler.decompositions import TANH_BY_SIGMOID
from pyro_vae.compiler.inductor import CPP_WRAPPER, SAME_RANDOM_NUMBERS, compile_graph
from pyro_vae.compiler.refusal import Refusal
from pyro_vae.training import adam
from pyro_vae.training.clipping import total_norm
from pyro_vae.training.fused_adam import has_kernel
from pyro_vae.training.steps_of_tensors import changing_numbers
from pyro_vae.training.traced_step import Graph, StepsToTrace
from pyro_vae.training.train_step import (
    Info,
    ScheduleValues,
    State,
    with_schedule_values,
)
from pyro_vae.training.update import Update


class CompiledGraph:
    """Steps as a compiled graph, for one model, one optimizer, and stacks of one shape.

    Arguments:
        state, stack: the graph is for their tensors and shapes.
        with_optimizer: whether Adam is in the graph; otherwise the graph ends with the gradient.
        counts: the step counts of the weights, where another graph has them already.
        share: the factor of the loss whose gradient is taken.
    """

    def __init__(
        self,
        state: State,
        stack: Tensor,
        with_optimizer: bool,
        counts: Tensor | None = None,
        share: float = 1.0,
    ) -> None:
        self.with_optimizer = with_optimizer
        self.together = len(stack)
        self.graph, self.beta = _traced(state, stack, with_optimizer, share)
        if not with_optimizer:
            counts = torch.zeros(1)
        self.counts = _join_counts(state, self.graph) if counts is None else counts
        self.count = self.counts[0]  # all weights have made the same number of steps
        self.groups = state.optimizer.param_groups if with_optimizer else []
        self.signature = self._signature(state, stack[0])
        schedule = [ScheduleValues.of(state)] * len(stack)
        inputs = [*self._tensors(), self._numbers(schedule, stack), stack]
        self.plain = _compile(self.graph, inputs)
        self.update: Update | None = None  # as the first, eager step has left the state
        self.run = (
            CUDAGraphed(self.plain, num_inputs=2) if stack.is_cuda else self.plain
        )

    def fits(
        self,
        state: State,
        batch: Tensor,
        schedule: Sequence[ScheduleValues],
    ) -> bool:
        """Whether the graph makes these steps: they differ from the first in numbers only."""
        if self.beta is not None and any(
            values.beta != self.beta for values in schedule
        ):
            return False
        return self._signature(state, batch) == self.signature

    def trial(self, state: State, stack: Tensor) -> Info:
        """The metrics of the first of several steps, on copies of what they change."""
        copies = [tensor.detach().clone() for tensor in self._tensors()]
        schedule = [ScheduleValues.of(state)] * len(stack)
        with torch.no_grad():
            metrics, *gradients = self.plain(
                *copies, self._numbers(schedule, stack), stack
            )
        norms = [] if self.with_optimizer else [total_norm(gradients)]
        return Info(*metrics[0].unbind(), *norms)

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        """One step."""
        schedule = [ScheduleValues.of(state)]
        state, metrics = self.steps(state, batch.unsqueeze(0), schedule)
        return state, Info(*metrics[0].unbind())

    def gradients(self, state: State, batch: Tensor) -> tuple[Info, list[Tensor]]:
        """The metrics of a batch, and the gradients of `graph.reached`, without the optimizer."""
        schedule = [ScheduleValues.of(state)]
        stack = batch.unsqueeze(0)
        with torch.no_grad():
            metrics, *gradients = self.run(
                *self._tensors(), self._numbers(schedule, stack), stack
            )
        norm = metrics.new_full(
            (1,), math.nan
        )  # that of the sum over the processes counts
        return Info(*torch.cat([metrics[0], norm]).unbind()), gradients

    def steps(
        self,
        state: State,
        batches: Tensor,
        schedule: Sequence[ScheduleValues],
    ) -> tuple[State, Tensor]:
        """A step for each batch, with the metrics of each."""
        tensors = self._tensors()
        numbers = self._numbers(schedule, batches).split(self.together)
        stacks = batches.split(self.together)
        firsts = schedule[:: self.together]
        if self.update is None and not self.with_optimizer:
            self.update = Update(state, self.graph.reached)
        metrics = []
        for rows, stack, values in zip(numbers, stacks, firsts, strict=True):
            with torch.no_grad():
                found, *gradients = self.run(*tensors, rows, stack)
            if self.update is not None:
                state = with_schedule_values(state, values)
                norm = self.update(gradients)
                found = torch.cat([found, norm.view(1, 1)], 1)
            metrics.append(found)
        if self.with_optimizer:
            state = with_schedule_values(state, schedule[-1])
            self.counts.add_(len(batches))
        return replace(state, steps=state.steps + len(batches)), torch.cat(metrics)

    def _tensors(self) -> list[Tensor]:
        return [container[key] for container, key in self.graph.slots]

    def _numbers(self, schedule: Sequence[ScheduleValues], batch: Tensor) -> Tensor:
        first = 1 + self.count.item()
        return changing_numbers(schedule, self.groups, first, batch.device)

    def _signature(self, state: State, batch: Tensor) -> tuple[Any, ...]:
        options = adam.options(state.optimizer) if self.with_optimizer else None
        return options, *signature(state, batch)


def signature(state: State, batch: Tensor) -> tuple[Any, ...]:
    """What must be the same for a graph without the optimizer to make the step."""
    optimizer = state.optimizer
    objects = (state.vae, state.objective, optimizer, optimizer.state, state.ema)
    identities = [id(item) for item in objects]
    layout = (batch.shape, batch.stride(), batch.dtype, batch.device)
    # a step that was put on the optimizer, or a hook, is called by an eager step
    called = has_kernel(optimizer)
    return *identities, state.clip_norm, called, layout, state.vae.training


def _traced(
    state: State,
    stack: Tensor,
    with_optimizer: bool,
    share: float,
) -> tuple[Graph, float | None]:
    """The graph, and its β where that is a constant of the graph."""
    if with_optimizer and not adam.is_adam(state.optimizer):
        raise Refusal(
            f"its {type(state.optimizer).__name__} is not plain Adam or AdamW"
        )
    options = _options(stack)
    how: dict[str, Any] = {"with_optimizer": with_optimizer, "share": share}
    free = StepsToTrace(state, stack, options, **how)
    # The objective may compare β with a number, which needs a β that has a value.
    fixed = None
    if free.key is None:
        fixed = StepsToTrace(state, stack, options, **how, beta=state.beta)
    if fixed is not None and fixed.saved is not None:
        return fixed.graph(), state.beta
    try:
        return free.graph(), None
    except Exception:
        if fixed is None:
            fixed = StepsToTrace(state, stack, options, **how, beta=state.beta)
        return fixed.graph(), state.beta


def _compile(graph: Graph, inputs: list[Any]) -> Callable[..., tuple[Tensor, ...]]:
    if graph.module is None:
        assert graph.run is not None
        return graph.run
    options = _options(inputs[-1])
    return compile_graph(graph.module, inputs, options, graph.key, graph.used)


def _options(stack: Tensor) -> dict[str, bool]:
    """The options of the compiler for steps of these batches."""
    options = CPP_WRAPPER | SAME_RANDOM_NUMBERS
    if stack.device.type == "cpu":
        options |= TANH_BY_SIGMOID
    return options


def _join_counts(state: State, graph: Graph) -> Tensor:
    """Put the step counts that the optimizer has of the graph's weights into one tensor.

    Raises:
        Refusal: they differ.
    """
    known = [weight for weight in graph.reached if weight in state.optimizer.state]
    entries = [state.optimizer.state[weight] for weight in known]
    counts = adam.joined_counts(entries)
    if counts.unique().numel() != 1:
        raise Refusal(
            "its optimizer has made more steps of some weights than of others"
        )
    return counts
