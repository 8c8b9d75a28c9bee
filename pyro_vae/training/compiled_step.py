"""The step from a compiled graph: the same numbers as `step`, without Python between the
operations.
"""

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.compiler.cuda_graph import Replay
from pyro_vae.compiler.inductor import compile_graph
from pyro_vae.training import adam
from pyro_vae.training.traced_step import Graph, numbers, trace
from pyro_vae.training.train_step import Info, Pace, State, paced, step, steps

EAGER = "the step can't be compiled and stays eager"
INDUCTOR = {"cpp_wrapper": True, "fallback_random": True}
"""The graph is called from C++, and its random numbers are those that torch draws without a
compiler.
"""
ON_CPU = {"cpp.use_decompose_tanh": True}
"""tanh(x) is 2 sigmoid(2 x) - 1, in half the time; it differs by rounding."""


class CompiledStep:
    """`step` as one compiled graph: the handlers of Pyro, both networks, the gradient, its
    clipping, Adam, the average.

    It is compiled at the first call, in some ten seconds, for the state and the batch of that call.
    That call itself is eager, and compares. Later calls may have other numbers (rows, learning
    rate, step count, β); what differs in more, such as a shorter batch, takes the eager step.
    `steps` may have several steps in one graph, for nets so small that calling it takes longer than
    computing. On a GPU the graph is recorded and replayed. The Python of the model runs once: what
    it does besides computing tensors is not repeated, and modules keep the mode of the first call.

    Where something can't be in the graph, the next best is taken, with one warning that names it:
    the loss and its gradient are compiled and the optimizer is not, or nothing is.

    Arguments:
        moves: whether the optimizer is to be in the graph; it must be Adam or AdamW.
        together: steps in one graph, which takes as many times longer to compile; only with
            `moves`.

    Example:
        >>> from pyro_vae.objectives import ELBO
        >>> from pyro_vae.vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> state, move = State(vae, ELBO(), torch.optim.Adam(vae.parameters())), CompiledStep()
        >>> state, info = move(state, torch.zeros(10, 4))  # doctest: +SKIP
    """

    def __init__(self, moves: bool = True, together: int = 1) -> None:
        self.moves, self.together = moves, together
        self._compiled: _Compiled | None = None
        self._several: _Compiled | None = None
        self._begun = False

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        if not self._begun:
            self._begun = True
            return self._begin(state, batch)
        if self._compiled is not None and self._compiled.fits(state, batch, [Pace.of(state)]):
            return self._compiled(state, batch)
        return step(state, batch)

    def steps(self, state: State, stack: Tensor, paces: Sequence[Pace]) -> tuple[State, Tensor]:
        """`steps` from the graph: nothing is looked at between them, so that small nets don't wait
        for Python.
        """
        compiled, several = self._compiled, self._several
        if compiled is None or not compiled.moves or not compiled.fits(state, stack[0], paces):
            return steps(state, stack, paces, self)
        cut = 0 if several is None else len(stack) // self.together * self.together
        told = []
        for part, some in ((several, slice(cut)), (compiled, slice(cut, None))):
            if part is not None and len(paces[some]):
                state, found = part.steps(state, stack[some], paces[some])
                told.append(found)
        return state, torch.cat(told)

    def _begin(self, state: State, batch: Tensor) -> tuple[State, Info]:
        """Compile, try it on copies, and make the step without it, with the same random numbers."""
        tried = self._compile(state, batch)
        state, info = step(state, batch)
        told = next((told for _, told in tried if not agree(told, info)), None)
        if told is not None:
            _warn(EAGER, f"it tells {_told(told)} instead of {_told(info)}")
        elif tried:
            self._compiled, *several = [compiled for compiled, _ in tried]
            self._several = several[0] if several else None
        return state, info

    def _compile(self, state: State, batch: Tensor) -> "list[Tried]":
        reasons: list[str] = []
        for moves in [True, False] if self.moves else [False]:
            try:
                tried = [self._try(state, batch, 1, moves)]
                if moves and self.together > 1:
                    tried.append(self._try(state, batch, self.together, moves, tried[0][0].counts))
            except (
                Exception
            ) as error:  # whatever stops the tracer or the compiler, the eager step remains
                reasons.append(explain(error, state))
                continue
            if reasons:
                _warn("only the loss and its gradient are compiled, not the optimizer", reasons[0])
            return tried
        _warn(EAGER, reasons[-1])
        return []

    def _try(
        self, state: State, batch: Tensor, together: int, moves: bool, counts: Tensor | None = None
    ) -> "Tried":
        with torch.random.fork_rng([batch.device] if batch.is_cuda else []):
            compiled = _Compiled(state, batch.repeat(together, *[1] * batch.ndim), moves, counts)
        with torch.random.fork_rng([batch.device] if batch.is_cuda else []):
            return compiled, compiled.trial(state, batch)


class _Compiled:
    """A compiled graph, for one model, one optimizer, and stacks of one shape.

    Arguments:
        state, stack: which the graph is for, but for their numbers.
        moves: whether Adam is in the graph.
        counts: the step counts of the weights, where another graph has them already.
    """

    def __init__(
        self, state: State, stack: Tensor, moves: bool, counts: Tensor | None = None
    ) -> None:
        self.state, self.moves, self.together = state, moves, len(stack)
        self.graph, self.beta = _traced(state, stack, moves)
        self.counts = (
            counts
            if counts is not None
            else _counts(state, self.graph)
            if moves
            else torch.zeros(1)
        )
        self.count = self.counts[0]
        self.groups = state.optimizer.param_groups if moves else []
        self.signature = self._signature(state, stack[0])
        paces = [Pace.of(state)] * len(stack)
        self.plain = _compile(self.graph, [*self._tensors(), self._numbers(paces, stack), stack])
        self.run = Replay(self.plain, changing=2) if stack.is_cuda else self.plain

    def fits(self, state: State, batch: Tensor, paces: Sequence[Pace]) -> bool:
        """Whether state, batch and paces differ from the first ones in numbers only."""
        free = self.beta is None or all(pace.beta == self.beta for pace in paces)
        return free and self._signature(state, batch) == self.signature

    def trial(self, state: State, batch: Tensor) -> Info:
        """What the step would tell, the first of several; it moves copies."""
        copies = [tensor.detach().clone() for tensor in self._tensors()]
        paces, stack = (
            [Pace.of(state)] * self.together,
            batch.repeat(self.together, *[1] * batch.ndim),
        )
        with torch.no_grad():
            told = self.plain(*copies, self._numbers(paces, stack), stack)[0]
        return Info(*told[0].unbind())

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        paces, stack = [Pace.of(state)], batch.unsqueeze(0)
        if self.moves:
            state, told = self.steps(state, stack, paces)
            return state, Info(*told[0].unbind())
        with torch.no_grad():
            told, *gradients = self.run(*self._tensors(), self._numbers(paces, stack), stack)
        self._move(state, gradients)
        return replace(state, steps=state.steps + 1), Info(*told[0].unbind())

    def steps(self, state: State, stack: Tensor, paces: Sequence[Pace]) -> tuple[State, Tensor]:
        """The steps of a stack of batches, and what each told."""
        tensors, numbers = self._tensors(), self._numbers(paces, stack)
        pairs = zip(numbers.split(self.together), stack.split(self.together), strict=True)
        with torch.no_grad():
            told = torch.cat([self.run(*tensors, some, batches)[0] for some, batches in pairs])
            self.counts.add_(len(stack))
        return replace(paced(state, paces[-1]), steps=state.steps + len(stack)), told

    def _move(self, state: State, gradients: list[Tensor]) -> None:
        state.optimizer.zero_grad(set_to_none=True)
        for weight, gradient in zip(self.graph.reached, gradients, strict=True):
            weight.grad = gradient
        with torch.enable_grad():
            state.optimizer.step()
        if state.average is not None:
            state.average.update()

    def _tensors(self) -> list[Tensor]:
        return [container[key] for container, key in self.graph.places]

    def _numbers(self, paces: Sequence[Pace], batch: Tensor) -> Tensor:
        return numbers(paces, self.groups, 1 + self.count.item(), batch.device)

    def _signature(self, state: State, batch: Tensor) -> tuple[Any, ...]:
        parts = state.vae, state.objective, state.optimizer, state.optimizer.state, state.average
        options = adam.options(state.optimizer) if self.moves else None
        kind = batch.shape, batch.stride(), batch.dtype, batch.device, state.vae.training
        return *map(id, parts), state.clip_norm, options, kind


Tried = tuple[_Compiled, Info]
"""A compiled graph, and what it told when it was tried."""


def _traced(state: State, stack: Tensor, moves: bool) -> tuple[Graph, float | None]:
    """The graph, with β as a number of the graph where the objective looks at it."""
    if moves and not adam.is_adam(state.optimizer):
        raise ValueError(f"its {type(state.optimizer).__name__} is not plain Adam or AdamW")
    try:
        return trace(state, stack, moves=moves), None
    except Exception:  # the objective may compare β with a number
        return trace(state, stack, moves=moves, beta=state.beta), state.beta


def _compile(graph: Graph, inputs: list[Any]) -> Callable[..., tuple[Tensor, ...]]:
    return compile_graph(
        graph.module, inputs, INDUCTOR | (ON_CPU if inputs[-1].device.type == "cpu" else {})
    )


def _counts(state: State, graph: Graph) -> Tensor:
    """The step counts of the weights that the graph moves, which the optimizer has from now on in
    one tensor.

    Raises:
        ValueError: they are not one number.
    """
    kept = [
        state.optimizer.state[weight] for weight in graph.reached if weight in state.optimizer.state
    ]
    counts = torch.stack([one["step"] for one in kept])
    if counts.unique().numel() != 1:
        raise ValueError("its optimizer has made more steps of some weights than of others")
    for one, count in zip(kept, counts.unbind(), strict=True):
        one["step"] = count
    return counts


def agree(one: Info, other: Info, tolerance: float = 1e-3) -> bool:
    """Whether two steps tell the same, up to the rounding of float32 in sums of many terms.

    Example:
        >>> one, other = (Info(*torch.tensor([loss, 1.0, loss - 1, 2.0])) for loss in (100.0, 101.0))
        >>> agree(one, one), agree(one, other)
        (True, False)
    """
    first, second = torch.stack(one), torch.stack(other)
    smallest = 0.01 * tolerance * float(second.abs().max())
    return torch.allclose(first, second, rtol=tolerance, atol=smallest, equal_nan=True)


def explain(error: Exception, state: State) -> str:
    """Where the tracer or the compiler stopped, and why, in one line."""
    frames = list(traceback.walk_tb(error.__traceback__))[::-1]
    places = [(frame.f_globals.get("__name__", ""), line) for frame, line in frames]
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    if places[0][0] == __name__:
        return reason
    owners = (frame.f_locals.get("self") for frame, _ in frames)
    part = next((name for owner in owners for name in _part(owner, state)), None)
    name, line = next(
        place for place in places if place[0].split(".")[0] not in {"torch", "pyro", "contextlib"}
    )
    place = (
        "the compiler" if name in {__name__, compile_graph.__module__} else f"{name}, line {line}"
    )
    return f"{part or place}: {type(error).__name__}: {reason}"


def _part(owner: Any, state: State) -> Iterator[str]:
    """The part of the model that this object is in, with the object's type."""
    for name, part in zip(("prior", "likelihood", "guide"), state.vae.parts, strict=True):
        if isinstance(owner, nn.Module) and any(owner is module for module in part.modules()):
            yield f"{name} ({type(owner).__name__})"


def _told(info: Info) -> str:
    return ", ".join(f"{name} {float(value):g}" for name, value in info._asdict().items())


def _warn(what: str, reason: str) -> None:
    warnings.warn(f"fit: {what}: {reason}; compile='off' avoids the attempt", stacklevel=6)
