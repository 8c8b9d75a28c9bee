"""The step as a compiled graph: the numbers of `step`, without Python between the operations."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pyro_vae.arguments import warn_caller
from pyro_vae.compiler.cuda_graph import CUDAGraphed
from pyro_vae.compiler.decompositions import TANH_BY_SIGMOID
from pyro_vae.compiler.inductor import CPP_WRAPPER, SAME_RANDOM_NUMBERS, compile_graph
from pyro_vae.compiler.refusal import Refusal, results_differ, why_refused
from pyro_vae.training import adam
from pyro_vae.training.traced_step import Graph, changing_numbers, trace
from pyro_vae.training.train_step import (
    Info,
    ScheduleValues,
    State,
    step,
    steps,
    with_schedule_values,
)

EAGER = "the step can't be compiled and stays eager"


class CompiledStep:
    """`step` as one compiled graph: model, guide, gradient, clipping, Adam and moving average.

    It is compiled at the first call, in some ten seconds, for the state and the batch of that call.
    That call itself is eager, and its metrics are compared with those of the graph. Later calls may
    have other numbers (rows, learning rate, step count, β); what differs in more, such as a shorter
    batch, takes the eager step. `steps` may have several steps in one graph, for nets so small that
    calling it takes longer than computing. On a GPU the graph is recorded and replayed. The Python
    of the model runs once: what it does besides computing tensors, such as a hook, is not repeated,
    and modules keep the mode of the first call.

    Where something can't be in the graph, the next best is taken, with one warning that names it:
    the loss and its gradient are compiled and the optimizer is not, or nothing is.

    Arguments:
        with_optimizer: whether the optimizer is to be in the graph; it must be Adam or AdamW.
        together: steps in one graph, which takes as many times longer to compile; only with
            the optimizer.

    Example:
        >>> from pyro_vae.objectives import ELBO
        >>> from pyro_vae.vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
        >>> compiled_step = CompiledStep()
        >>> state, info = compiled_step(state, torch.zeros(10, 4))  # doctest: +SKIP
    """

    def __init__(self, with_optimizer: bool = True, together: int = 1) -> None:
        self.with_optimizer = with_optimizer
        self.together = together
        self._one: _Compiled | None = None
        self._several: _Compiled | None = None
        self._was_called = False

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        if not self._was_called:
            self._was_called = True
            return self._first(state, batch)
        if self._one is not None and self._one.fits(state, batch, [ScheduleValues.of(state)]):
            return self._one(state, batch)
        return step(state, batch)

    def steps(
        self, state: State, batches: Tensor, schedule: Sequence[ScheduleValues]
    ) -> tuple[State, Tensor]:
        """`steps` from the graph; Python doesn't wait for the results between them."""
        one = self._one
        if one is None or not one.with_optimizer or not one.fits(state, batches[0], schedule):
            return steps(state, batches, schedule, self)
        metrics = []
        grouped = 0  # steps that are made by the graph of several
        if self._several is not None:
            grouped = len(batches) // self.together * self.together
            if grouped:
                state, found = self._several.steps(state, batches[:grouped], schedule[:grouped])
                metrics.append(found)
        if grouped < len(batches):
            state, found = one.steps(state, batches[grouped:], schedule[grouped:])
            metrics.append(found)
        return state, torch.cat(metrics)

    def _first(self, state: State, batch: Tensor) -> tuple[State, Info]:
        """Compile, try the graph on copies, and make the eager step with the same noise."""
        tried = self._compile(state, batch)
        state, expected = step(state, batch)
        for _, info in tried:
            if not agree(info, expected):
                _warn(EAGER, results_differ(_metrics(info), _metrics(expected)))
                return state, expected
        graphs = [compiled for compiled, _ in tried]
        if graphs:
            self._one = graphs[0]
        if len(graphs) > 1:
            self._several = graphs[1]
        return state, expected

    def _compile(self, state: State, batch: Tensor) -> "list[Tried]":
        """The graphs of one step and of several, the best that can be had."""
        reasons: list[str] = []
        parts = dict(zip(("prior", "likelihood", "guide"), state.vae.parts, strict=True))
        for with_optimizer in [True, False] if self.with_optimizer else [False]:
            try:
                tried = self._try_all(state, batch, with_optimizer)
            except Exception as error:  # of any type: the eager step remains
                reasons.append(why_refused(error, caller=__name__, parts=parts))
                continue
            if reasons:
                _warn("only the loss and its gradient are compiled, not the optimizer", reasons[0])
            return tried
        _warn(EAGER, reasons[-1])
        return []

    def _try_all(self, state: State, batch: Tensor, with_optimizer: bool) -> "list[Tried]":
        single = batch.repeat(1, *[1] * batch.ndim)
        one, info = _try(state, single, with_optimizer)
        if not with_optimizer or self.together == 1:
            return [(one, info)]
        stack = batch.repeat(self.together, *[1] * batch.ndim)
        return [(one, info), _try(state, stack, with_optimizer, one.counts)]


class _Compiled:
    """A compiled graph, for one model, one optimizer, and stacks of one shape.

    Arguments:
        state, stack: the graph is for their tensors and shapes.
        with_optimizer: whether Adam is in the graph.
        counts: the step counts of the weights, where another graph has them already.
    """

    def __init__(
        self, state: State, stack: Tensor, with_optimizer: bool, counts: Tensor | None = None
    ) -> None:
        self.state = state
        self.with_optimizer = with_optimizer
        self.together = len(stack)
        self.graph, self.beta = _traced(state, stack, with_optimizer)
        if not with_optimizer:
            counts = torch.zeros(1)
        self.counts = _join_counts(state, self.graph) if counts is None else counts
        self.count = self.counts[0]
        self.groups = state.optimizer.param_groups if with_optimizer else []
        self.signature = self._signature(state, stack[0])
        schedule = [ScheduleValues.of(state)] * len(stack)
        inputs = [*self._tensors(), self._numbers(schedule, stack), stack]
        self.plain = _compile(self.graph, inputs)
        self.run = CUDAGraphed(self.plain, num_inputs=2) if stack.is_cuda else self.plain

    def fits(self, state: State, batch: Tensor, schedule: Sequence[ScheduleValues]) -> bool:
        """Whether the graph makes these steps: they differ from the first in numbers only."""
        if self.beta is not None and any(values.beta != self.beta for values in schedule):
            return False
        return self._signature(state, batch) == self.signature

    def trial(self, state: State, stack: Tensor) -> Info:
        """The metrics of the first of several steps, on copies of what they change."""
        copies = [tensor.detach().clone() for tensor in self._tensors()]
        schedule = [ScheduleValues.of(state)] * len(stack)
        with torch.no_grad():
            metrics = self.plain(*copies, self._numbers(schedule, stack), stack)[0]
        return Info(*metrics[0].unbind())

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        """One step."""
        schedule = [ScheduleValues.of(state)]
        stack = batch.unsqueeze(0)
        if self.with_optimizer:
            state, metrics = self.steps(state, stack, schedule)
        else:
            with torch.no_grad():
                outputs = self.run(*self._tensors(), self._numbers(schedule, stack), stack)
            metrics, *gradients = outputs
            self._update(state, gradients)
            state = replace(state, steps=state.steps + 1)
        return state, Info(*metrics[0].unbind())

    def steps(
        self, state: State, batches: Tensor, schedule: Sequence[ScheduleValues]
    ) -> tuple[State, Tensor]:
        """A step for each batch, with the metrics of each."""
        tensors = self._tensors()
        numbers = self._numbers(schedule, batches)
        stacks = zip(numbers.split(self.together), batches.split(self.together), strict=True)
        with torch.no_grad():
            outputs = [self.run(*tensors, rows, stack)[0] for rows, stack in stacks]
            metrics = torch.cat(outputs)
            self.counts.add_(len(batches))
        state = with_schedule_values(state, schedule[-1])
        return replace(state, steps=state.steps + len(batches)), metrics

    def _update(self, state: State, gradients: list[Tensor]) -> None:
        """The optimizer's own step."""
        state.optimizer.zero_grad(set_to_none=True)
        for weight, gradient in zip(self.graph.reached, gradients, strict=True):
            weight.grad = gradient
        with torch.enable_grad():
            state.optimizer.step()
        if state.ema is not None:
            state.ema.update()

    def _tensors(self) -> list[Tensor]:
        return [container[key] for container, key in self.graph.slots]

    def _numbers(self, schedule: Sequence[ScheduleValues], batch: Tensor) -> Tensor:
        first = 1 + self.count.item()
        return changing_numbers(schedule, self.groups, first, batch.device)

    def _signature(self, state: State, batch: Tensor) -> tuple[Any, ...]:
        """What must be the same for the graph to make the step."""
        optimizer = state.optimizer
        objects = (state.vae, state.objective, optimizer, optimizer.state, state.ema)
        options = adam.options(optimizer) if self.with_optimizer else None
        layout = (batch.shape, batch.stride(), batch.dtype, batch.device)
        return *map(id, objects), state.clip_norm, options, layout, state.vae.training


Tried = tuple[_Compiled, Info]
"""A compiled graph, and the metrics of its trial."""


def _try(state: State, stack: Tensor, with_optimizer: bool, counts: Tensor | None = None) -> Tried:
    """A compiled graph and its trial, which take no random numbers of the eager step."""
    devices = [stack.device] if stack.is_cuda else []
    with torch.random.fork_rng(devices):
        compiled = _Compiled(state, stack, with_optimizer, counts)
    with torch.random.fork_rng(devices):
        return compiled, compiled.trial(state, stack)


def _traced(state: State, stack: Tensor, with_optimizer: bool) -> tuple[Graph, float | None]:
    """The graph, and its β where that is a constant of the graph."""
    if with_optimizer and not adam.is_adam(state.optimizer):
        raise Refusal(f"its {type(state.optimizer).__name__} is not plain Adam or AdamW")
    try:
        return trace(state, stack, with_optimizer=with_optimizer), None
    except Exception:  # the objective may compare β with a number
        return trace(state, stack, with_optimizer=with_optimizer, beta=state.beta), state.beta


def _compile(graph: Graph, inputs: list[Any]) -> Callable[..., tuple[Tensor, ...]]:
    options = CPP_WRAPPER | SAME_RANDOM_NUMBERS
    if inputs[-1].device.type == "cpu":
        options |= TANH_BY_SIGMOID
    return compile_graph(graph.module, inputs, options)


def _join_counts(state: State, graph: Graph) -> Tensor:
    """Put the step counts that the optimizer has of the graph's weights into one tensor.

    Raises:
        Refusal: they differ.
    """
    known = [weight for weight in graph.reached if weight in state.optimizer.state]
    entries = [state.optimizer.state[weight] for weight in known]
    counts = torch.stack([entry["step"] for entry in entries])
    if counts.unique().numel() != 1:
        raise Refusal("its optimizer has made more steps of some weights than of others")
    for entry, count in zip(entries, counts.unbind(), strict=True):
        entry["step"] = count
    return counts


def agree(one: Info, other: Info, tolerance: float = 1e-3) -> bool:
    """Whether two steps have the same metrics, up to the rounding of float32 in long sums.

    Example:
        >>> one = Info(*torch.tensor([100.0, 1.0, 99.0, 2.0]))
        >>> other = Info(*torch.tensor([101.0, 1.0, 100.0, 2.0]))
        >>> agree(one, one), agree(one, other)
        (True, False)
    """
    first = torch.stack(one)
    second = torch.stack(other)
    smallest = 0.01 * tolerance * float(second.abs().max())
    return torch.allclose(first, second, rtol=tolerance, atol=smallest, equal_nan=True)


def _metrics(info: Info) -> dict[str, float]:
    return {name: float(value) for name, value in info._asdict().items()}


def _warn(what: str, reason: str) -> None:
    warn_caller(f"fit: {what}: {reason}; compile='off' avoids the attempt")
