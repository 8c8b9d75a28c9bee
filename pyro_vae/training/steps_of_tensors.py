"""Training steps as a function of every tensor that they read or change."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyro_vae.data import binarized
from pyro_vae.objectives import Terms
from pyro_vae.training import adam
from pyro_vae.training.clipping import clipped
from pyro_vae.training.train_step import ScheduleValues, State

Slot = tuple[Any, Any]
"""The container of a tensor, and its key there."""

LITTLE = 2**-10
MEAN, SQUARE, AVERAGE = ":mean", ":square", ":average"
"""Endings of the names of what belongs to a weight: Adam's moments and the moving average."""


def changing_numbers(
    schedule: Sequence[ScheduleValues],
    groups: Sequence[adam.Group],
    first: float,
    device: torch.device,
) -> Tensor:
    """The inputs of a graph that change by a rule, a row for each step.

    Arguments:
        schedule: of each step.
        groups: the groups of Adam, where it is in the graph.
        first: number of the first step, from 1.
        device: of the result.

    Returns:
        β, and three rates of each group, (steps, 1 + 3 groups), in float64.
    """
    counts = first + np.arange(len(schedule))
    columns: list[Any] = [[values.beta for values in schedule]]
    for index, group in enumerate(groups):
        lrs = [values.lrs[index] for values in schedule]
        columns += adam.rates(group, lrs, counts)
    rows = np.array(columns, np.float64).T.copy()
    return torch.as_tensor(rows, device=device)


class _Objective(nn.Module):
    """The objective as a module whose tensors can all be exchanged.

    It returns its buffers after the call too, some of which the call may have replaced.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.vae = state.vae
        self.objective = (
            state.objective
        )  # which may be a module with weights of its own
        self.state = state

    def forward(self, x: Tensor, beta: Any) -> tuple[Terms, dict[str, Tensor]]:
        terms = self.state.terms(x, beta)
        return terms, dict(self.named_buffers())


class StepsOfTensors:
    """The steps as a function of all tensors that they read or change.

    Attributes:
        slots: where each of these tensors is, by name.
        names: those of the parameters and buffers.
        weights: the parameters that the optimizer has.
        reached: the names of those with a gradient, known after a call.
    """

    def __init__(
        self,
        state: State,
        with_optimizer: bool,
        beta: float | None,
        share: float,
    ) -> None:
        self.state = state
        self.with_optimizer = with_optimizer
        self.beta = beta
        self.share = share
        self.module = _Objective(state)
        self.slots = dict(_slots(self.module))
        self.names = list(self.slots)
        self.groups = _groups(state.optimizer)
        self.weights = {
            name: weight
            for name, weight in self.module.named_parameters()
            if id(weight) in self.groups
        }
        self.reached: list[str] = []
        if with_optimizer:
            self._add_moments()
            self._add_averages()

    def _add_moments(self) -> None:
        for name, weight in self.weights.items():
            group, _ = self.groups[id(weight)]
            moments = adam.moments(self.state.optimizer, weight, group)
            self.slots[name + MEAN] = (moments, "exp_avg")
            self.slots[name + SQUARE] = (moments, "exp_avg_sq")

    def _add_averages(self) -> None:
        ema = self.state.ema
        if ema is None:
            return
        indices = {id(weight): index for index, weight in enumerate(ema.parameters)}
        for name, weight in self.module.named_parameters():
            if id(weight) in indices:
                self.slots[name + AVERAGE] = (ema.values, indices[id(weight)])

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *given, numbers, stack = inputs
        tensors = dict(zip(self.slots, given, strict=True))
        metrics = []
        gradients: dict[str, Tensor] = {}
        for step_numbers, batch in zip(numbers.unbind(), stack.unbind(), strict=True):
            step_metrics, gradients = self._step(tensors, step_numbers, batch)
            metrics.append(step_metrics)
        if self.with_optimizer:
            return (torch.stack(metrics),)
        return (torch.stack(metrics), *gradients.values())

    def _step(
        self,
        tensors: dict[str, Tensor],
        numbers: Tensor,
        batch: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One step, which changes `tensors` in place; its metrics and its gradients."""
        # Leaves apart from the tensors that Adam changes, so that the gradient is of this step.
        leaves = {
            name: tensors[name].detach().requires_grad_() for name in self.weights
        }
        own = {name: tensors[name] for name in self.names} | leaves
        beta = numbers[0].to(batch.dtype) if self.beta is None else self.beta
        rows = binarized(batch) if self.state.binarize else batch
        terms, buffers = functional_call(self.module, own, (rows, beta))
        loss = terms.loss.mean()
        # a product with 1 is an operation too
        shared = loss if self.share == 1 else self.share * loss
        slopes: Sequence[Tensor | None] = torch.autograd.grad(
            shared, list(leaves.values()), allow_unused=True
        )
        pairs = zip(leaves, slopes, strict=True)
        with torch.no_grad():
            gradients = {
                name: _laid_out(slope, leaves[name])
                for name, slope in pairs
                if slope is not None
            }
            self.reached = list(gradients)
            for name, buffer in buffers.items():
                if buffer is not tensors[name]:  # the call has replaced it
                    tensors[name].copy_(buffer)
            metrics = [loss.detach(), terms.rate.detach().mean()]
            metrics.append(terms.distortion.detach().mean())
            if self.with_optimizer:
                every = [*gradients.values()]
                clip_norm = self.state.clip_norm
                norm, shorter = clipped(every, clip_norm, in_graph=True)
                gradients = dict(zip(gradients, shorter, strict=True))
                self._update(tensors, gradients, numbers)
                metrics.append(norm)
        return torch.stack(metrics), gradients

    def _update(
        self,
        tensors: dict[str, Tensor],
        gradients: dict[str, Tensor],
        numbers: Tensor,
    ) -> None:
        """Adam's step of the weights, and that of their averages."""
        for name, gradient in gradients.items():
            group, index = self.groups[id(self.weights[name])]
            rates = numbers[1 + 3 * index : 4 + 3 * index]
            mean = tensors[name + MEAN]
            square = tensors[name + SQUARE]
            adam.update(tensors[name], gradient, mean, square, rates, group)
        if self.state.ema is None:
            return
        for name in self.slots:
            if name.endswith(AVERAGE):
                weight = tensors[name.removesuffix(AVERAGE)]
                tensors[name].lerp_(weight, 1 - self.state.ema.decay)


class TermsOfTensors:
    """The terms of a loss, without a gradient, as a function of all tensors that they read.

    Attributes:
        slots: where each of these tensors is.
    """

    def __init__(self, state: State, beta: float) -> None:
        self.module = _Objective(state)
        self.beta = beta
        self.names = [name for name, _ in _slots(self.module)]
        self.slots = [slot for _, slot in _slots(self.module)]

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Rate, distortion and loss of some rows, which are the last of the inputs."""
        *given, rows = inputs
        own = dict(zip(self.names, given, strict=True))
        terms, _ = functional_call(self.module, own, (rows, self.beta))
        return [terms.rate, terms.distortion, terms.loss]


def other_numbers(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors of a model, whose weights are a little different.

    Example:
        >>> other_numbers([nn.Parameter(torch.ones(1)), torch.ones(1)])
        [tensor([1.0020]), tensor([1.])]
    """
    return [
        one.detach() * (1 + LITTLE) + LITTLE if _is_weight(one) else one
        for one in tensors
    ]


def _is_weight(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.is_floating_point()


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient with the strides of its weight, as `backward` leaves it.

    torch's fused kernels read both from the start of their memory to its end.
    """
    if gradient.stride() == weight.stride():
        return gradient
    return torch.empty_like(weight).copy_(gradient)


def _groups(optimizer: torch.optim.Optimizer) -> dict[int, tuple[adam.Group, int]]:
    """The group of each weight with its index, by the weight's id."""
    return {
        id(weight): (group, index)
        for index, group in enumerate(optimizer.param_groups)
        for weight in group["params"]
        if weight.requires_grad
    }


def _slots(module: nn.Module) -> Iterator[tuple[str, Slot]]:
    """The name and the slot of each parameter and buffer."""
    for name, _ in module.named_parameters():
        owner, _, key = name.rpartition(".")
        yield name, (module.get_submodule(owner)._parameters, key)
    for name, _ in module.named_buffers():
        owner, _, key = name.rpartition(".")
        yield name, (module.get_submodule(owner)._buffers, key)
