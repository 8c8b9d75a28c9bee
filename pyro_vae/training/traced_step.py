"""Training steps as one graph of tensor operations, without the Python that made it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.data import binarized
from pyro_vae.objectives import Terms
from pyro_vae.training import adam
from pyro_vae.training.train_step import Pace, State

Place = tuple[Any, Any]


@dataclass(frozen=True)
class Graph:
    """One step or several as a graph.

    Attributes:
        module: from tensors to one with loss, rate, distortion and norm of the gradient, (steps,
            4); and, where the graph doesn't move the weights, the clipped gradients of the reached
            ones. The rest changes in place.
        places: (container, key) of each tensor that the graph takes, before the numbers and the
            stack of batches.
        reached: the weights that have a gradient.
    """

    module: GraphModule
    places: list[Place]
    reached: list[nn.Parameter]


def trace(state: State, stack: Tensor, *, moves: bool, beta: float | None = None) -> Graph:
    """The graph of a step for each batch of a stack: loss, gradient and clipping.

    Where it `moves` the weights, Adam and the average too; without, the stack is of one batch.

    Shapes, modes and options are constants in it; so is β where a number is given. Learning rates
    and step counts are not. Nothing is computed, drawn or changed.

    Raises:
        Exception: of many types, where the Python looks at values, which are not there while
            tracing.
    """
    recipe = _Recipe(state, moves, beta)
    inputs = [container[key] for container, key in recipe.places.values()]
    groups = state.optimizer.param_groups if moves else []
    rates = numbers([Pace.of(state)] * len(stack), groups, 1, stack.device)
    apart = (
        {torch.ops.aten.addmm.default: _product_and_bias} if stack.device.type == "cpu" else None
    )
    with pyro.validation_enabled(False):
        module = make_fx(recipe, apart, tracing_mode="fake", _allow_non_fake_inputs=True)(
            *inputs, rates, stack
        )
    used = _drop_unused(module, len(inputs))
    places = list(recipe.places.values())
    return Graph(
        module, [places[index] for index in used], [recipe.weights[name] for name in recipe.reached]
    )


def _product_and_bias(
    bias: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """A linear layer whose bias the next operation adds in passing: a compiler puts a sum back into
    the product.
    """
    return alpha * (left @ right) - -beta * bias


def numbers(
    paces: Sequence[Pace], groups: Sequence[adam.Group], first: float, device: torch.device
) -> Tensor:
    """What changes by a rule, a row for each step from number `first` on: β, and the rates of each
    group of Adam.
    """
    steps = first + np.arange(len(paces))
    columns: list[Any] = [[pace.beta for pace in paces]]
    for index, group in enumerate(groups):
        columns += adam.rates(group, [pace.lrs[index] for pace in paces], steps)
    return torch.as_tensor(np.array(columns, np.float64).T.copy(), device=device)


class _Program(nn.Module):
    """The objective as a module, in which every tensor can be exchanged; it gives its buffers after
    the call too.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.vae, self.objective = state.vae, state.objective

    def forward(self, x: Tensor, beta: float | Tensor) -> tuple[Terms, dict[str, Tensor]]:
        terms = self.objective(self.vae.model, self.vae.guide, x, beta)  # type: ignore[arg-type]
        return terms, dict(self.named_buffers())


class _Recipe:
    """The steps as a function of all tensors that they read or change, whose names and places it
    knows.
    """

    def __init__(self, state: State, moves: bool, beta: float | None) -> None:
        self.state, self.moves, self.beta = state, moves, beta
        self.program = _Program(state)
        self.places = dict(_places(self.program))
        self.names = list(self.places)
        self.groups = {
            id(weight): (group, number)
            for number, group in enumerate(state.optimizer.param_groups)
            for weight in group["params"]
            if weight.requires_grad
        }
        self.weights = {
            name: p for name, p in self.program.named_parameters() if id(p) in self.groups
        }
        self.reached: list[str] = []
        if moves:
            self._add_places()

    def _add_places(self) -> None:
        """The moments of the weights that the optimizer moves, and the averages."""
        for name, weight in self.weights.items():
            kept = adam.moments(self.state.optimizer, weight, self.groups[id(weight)][0])
            self.places |= {
                f"{name}:mean": (kept, "exp_avg"),
                f"{name}:square": (kept, "exp_avg_sq"),
            }
        if self.state.average is not None:
            averaged = {
                id(weight): index for index, weight in enumerate(self.state.average.parameters)
            }
            for name, weight in self.program.named_parameters():
                if id(weight) in averaged:
                    self.places[f"{name}:average"] = (
                        self.state.average.values,
                        averaged[id(weight)],
                    )

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *given, rates, stack = inputs
        tensors, told, gradients = (
            dict(zip(self.places, given, strict=True)),
            [],
            dict[str, Tensor](),
        )
        for numbers, batch in zip(rates.unbind(), stack.unbind(), strict=True):
            one, gradients = self._step(tensors, numbers, batch)
            told.append(one)
        return (torch.stack(told),) if self.moves else (torch.stack(told), *gradients.values())

    def _step(
        self, tensors: dict[str, Tensor], rates: Tensor, batch: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = {name: tensors[name].detach().requires_grad_() for name in self.weights}
        own = {name: tensors[name] for name in self.names} | leaves
        weight = rates[0].to(batch.dtype) if self.beta is None else self.beta
        batch = binarized(batch) if self.state.binarize else batch
        terms, buffers = functional_call(self.program, own, (batch, weight))
        loss = terms.loss.mean()
        each: Sequence[Tensor | None] = torch.autograd.grad(
            loss, list(leaves.values()), allow_unused=True
        )
        with torch.no_grad():
            gradients = {
                name: gradient
                for name, gradient in zip(leaves, each, strict=True)
                if gradient is not None
            }
            self.reached = list(gradients)
            norm, gradients = clipped(gradients, self.state.clip_norm)
            for name, buffer in buffers.items():
                if buffer is not tensors[name]:
                    tensors[name].copy_(buffer)
            if self.moves:
                self._move(tensors, gradients, rates)
        told = torch.stack(
            [loss.detach(), terms.rate.detach().mean(), terms.distortion.detach().mean(), norm]
        )
        return told, gradients

    def _move(
        self, tensors: dict[str, Tensor], gradients: dict[str, Tensor], rates: Tensor
    ) -> None:
        for name, gradient in gradients.items():
            group, number = self.groups[id(self.weights[name])]
            mean, square = tensors[f"{name}:mean"], tensors[f"{name}:square"]
            adam.update(
                tensors[name], gradient, mean, square, rates[1 + 3 * number : 4 + 3 * number], group
            )
        if self.state.average is not None:
            for name in self.places:
                if name.endswith(":average"):
                    tensors[name].lerp_(
                        tensors[name.removesuffix(":average")], 1 - self.state.average.decay
                    )


def clipped(
    gradients: dict[str, Tensor], clip_norm: float | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The norm of all gradients together, and the gradients shortened to `clip_norm`, as torch
    clips them.
    """
    norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    if clip_norm is None:
        return norm, gradients
    factor = (clip_norm / (norm + 1e-6)).clamp(max=1.0)
    return norm, {name: factor * gradient for name, gradient in gradients.items()}


def _places(program: nn.Module) -> Iterator[tuple[str, Place]]:
    """The name of each parameter and buffer, and the dict that holds it."""
    for name, _ in program.named_parameters():
        owner, _, key = name.rpartition(".")
        yield name, (program.get_submodule(owner)._parameters, key)
    for name, _ in program.named_buffers():
        owner, _, key = name.rpartition(".")
        yield name, (program.get_submodule(owner)._buffers, key)


def _drop_unused(module: GraphModule, count: int) -> list[int]:
    """Take the inputs that nothing uses out of the graph, of the first `count`; the numbers of
    those that stay.
    """
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node in inputs[:count]:
        if not node.users:
            module.graph.erase_node(node)
    module.recompile()
    return [index for index, node in enumerate(inputs[:count]) if node.users]
