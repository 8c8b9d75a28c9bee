"""The step as a compiled graph: the numbers of `step`, without Python between the operations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_vae.arguments import warn_caller
from pyro_vae.compiler.refusal import results_differ, why_refused
from pyro_vae.distributed.process_group import is_first
from pyro_vae.training.compiled_graph import CompiledGraph
from pyro_vae.training.fused_adam import has_kernel
from pyro_vae.training.train_step import Info, ScheduleValues, State, step, steps

EAGER = "the step can't be compiled and stays eager"
LOSS_ONLY = "only the loss and its gradient are compiled, not the optimizer"


class CompiledStep:
    """`step` as one compiled graph: model, guide, gradient, clipping, Adam and moving average.

    It is compiled at the first call, in some seconds, for the state and the batch of that call.
    That call itself is eager, and its metrics are compared with those of the graph. Later calls may
    have other numbers (rows, learning rate, step count, β); what differs in more, such as a shorter
    batch, takes the eager step. `steps` may have several steps in one graph, for nets so small that
    calling it takes longer than computing. On a GPU the graph is recorded and replayed. The Python
    of the model runs at the first call only: what it does besides computing tensors, such as a
    hook, is not repeated, and modules keep the mode of the first call.

    On the processor the graph is kept on the disk. Another process that is to compile the same
    steps, as one run of them on copies tells, takes it from there in a tenth of a second.

    Where something can't be in the graph, the next best is taken, with one warning that names it:
    the loss and its gradient are compiled and the optimizer is not, or nothing is.

    Arguments:
        with_optimizer: whether the optimizer is to be in the graph; it must be Adam or AdamW.
        together: steps in one graph, which takes as many times longer to compile; only with
            the optimizer.
        by_kernel: whether clipping and torch's own kernel of Adam may follow the graph instead:
            with many weights half as much is compiled, and a step takes a few percent longer.

    Example:
        >>> from pyro_vae.objectives import ELBO
        >>> from pyro_vae.vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
        >>> compiled_step = CompiledStep()
        >>> state, info = compiled_step(state, torch.zeros(10, 4))  # doctest: +SKIP
    """

    def __init__(
        self,
        with_optimizer: bool = True,
        together: int = 1,
        by_kernel: bool = False,
    ) -> None:
        self.with_optimizer = with_optimizer
        self.together = together
        self.by_kernel = by_kernel
        self._one: CompiledGraph | None = None
        self._several: CompiledGraph | None = None
        self._was_called = False

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        if not self._was_called:
            self._was_called = True
            return self._first(state, batch)
        graph = self._one
        schedule = [ScheduleValues.of(state)]
        if graph is None or not graph.fits(state, batch, schedule):
            return step(state, batch)
        return graph(state, batch)

    def steps(
        self,
        state: State,
        batches: Tensor,
        schedule: Sequence[ScheduleValues],
    ) -> tuple[State, Tensor]:
        """`steps` from the graph; Python doesn't wait for the results between them."""
        graph = self._one
        if graph is None or not graph.fits(state, batches[0], schedule):
            return steps(state, batches, schedule, self)
        cut = 0
        if self._several is not None:
            cut = len(batches) // self.together * self.together
        metrics = []
        for compiled, some in ((self._several, slice(cut)), (graph, slice(cut, None))):
            if compiled is not None and len(schedule[some]):
                state, found = compiled.steps(state, batches[some], schedule[some])
                metrics.append(found)
        return state, torch.cat(metrics)

    def _first(self, state: State, batch: Tensor) -> tuple[State, Info]:
        """Compile, try the graph on copies, and make the eager step with the same noise."""
        tried = self._compile(state, batch)
        state, expected = step(state, batch)
        for _, info in tried:
            if not agree(info, expected):
                warn(EAGER, results_differ(metrics_of(info), metrics_of(expected)))
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
        is_last = self.by_kernel and has_kernel(state.optimizer)
        is_inside = self.with_optimizer and not is_last
        attempts = [True, False] if is_inside else [False]
        for with_optimizer in attempts:
            try:
                tried = self._try_all(state, batch, with_optimizer)
            except Exception as error:
                # Tracer and compiler raise errors of many types; the eager step remains.
                reasons.append(reason_of(error, state))
                continue
            if reasons:
                warn(LOSS_ONLY, reasons[0])
            return tried
        warn(EAGER, reasons[-1])
        return []

    def _try_all(
        self,
        state: State,
        batch: Tensor,
        with_optimizer: bool,
    ) -> "list[Tried]":
        single = batch.repeat(1, *[1] * batch.ndim)
        one, info = attempt(state, single, with_optimizer)
        if not with_optimizer or self.together == 1:
            return [(one, info)]
        stack = batch.repeat(self.together, *[1] * batch.ndim)
        return [(one, info), attempt(state, stack, with_optimizer, one.counts)]


Tried = tuple[CompiledGraph, Info]
"""A compiled graph, and the metrics of its trial."""


def attempt(
    state: State,
    stack: Tensor,
    with_optimizer: bool,
    counts: Tensor | None = None,
    share: float = 1.0,
) -> Tried:
    """A compiled graph and its trial, which take no random numbers of the eager step."""
    devices = [stack.device] if stack.is_cuda else []
    # Each starts where the eager step will start, so that the trial draws the same numbers.
    with torch.random.fork_rng(devices):
        compiled = CompiledGraph(state, stack, with_optimizer, counts, share)
    with torch.random.fork_rng(devices):
        return compiled, compiled.trial(state, stack)


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


def reason_of(error: Exception, state: State) -> str:
    """Why the step can't be compiled, with the part of the model that is at fault."""
    names = ("prior", "likelihood", "guide")
    parts = dict(zip(names, state.vae.parts, strict=True))
    return why_refused(error, caller=CompiledGraph.__module__, parts=parts)


def metrics_of(info: Info) -> dict[str, float]:
    """The metrics by name, as numbers."""
    return {name: float(value) for name, value in info._asdict().items()}


def warn(what: str, reason: str) -> None:
    """Say once what isn't compiled, and why."""
    if is_first():
        warn_caller(f"fit: {what}: {reason}; compile='off' avoids the attempt")
