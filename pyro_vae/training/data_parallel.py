"""The step of several processes: each computes its part of the batch, and all move alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pyro_vae.compiler.refusal import results_differ
from pyro_vae.data import binarized
from pyro_vae.distributed.collectives import (
    batch_share,
    gathered,
    without_others,
)
from pyro_vae.distributed.process_group import part_of_rank, seed_of_rank, world_size
from pyro_vae.distributed.shared_memory import added_on_machine
from pyro_vae.rng import Stream
from pyro_vae.training.clipping import clip_gradient, total_norm
from pyro_vae.training.compiled_graph import CompiledGraph
from pyro_vae.training.compiled_step import (
    EAGER,
    agree,
    attempt,
    metrics_of,
    reason_of,
    warn,
)
from pyro_vae.training.fused_adam import take_step
from pyro_vae.training.train_step import (
    Info,
    ScheduleValues,
    State,
    steps,
    weights_of,
)

Gradients = list[Tensor | None]
"""The gradient of each weight; None of those that the loss doesn't depend on."""


def own_noise(seed: int, device: torch.device, epochs: int = 0) -> Stream | None:
    """The noise of this one of several processes; None for a process alone.

    Arguments:
        seed: of the run.
        device: of the run.
        epochs: those made by another number of processes, whose noise is not to come again.
    """
    if world_size() == 1:
        return None
    return Stream(seed_of_rank(seed, epochs), device)


def require_same_steps(count: int) -> None:
    """Raise ValueError where the processes have different numbers of steps ahead.

    One of them would wait for ever.
    """
    counts = gathered(count)
    if len(set(counts)) > 1:
        raise ValueError(
            f"x: expected the same rows in every process, got {counts} steps ahead; pass all rows "
            "to each"
        )


class ParallelStep:
    """`step` in W processes at once, which give it the same state and the same batch.

    Each computes the gradient on its rows of the batch, weighted so that the sum over the processes
    is the gradient of the mean over all rows. One sum adds gradients and metrics. Clipping,
    optimizer and average then see the same numbers everywhere, so the parameters stay the same to
    the last bit. The gradient is a compiled graph where that is asked for and possible.

    Each process has noise of its own and leaves torch's generators alone: whatever else is drawn
    from them is the same in all. A layer that looks across rows, such as BatchNorm, sees the rows
    of its process.

    References:
        Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour (Goyal et al., 2017), on the
        weights of the parts.

    Arguments:
        noise: of this process.
        compiles: whether the gradient is compiled.
    """

    def __init__(self, noise: Stream, compiles: bool) -> None:
        self.noise = noise
        self.compiles = compiles
        self.gradient: Callable[..., tuple[Info, Gradients]] = eager_gradient
        if compiles:
            self.gradient = CompiledGradient()

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        part, share = part_of_rank(batch)
        weights = weights_of(state.optimizer)
        with self.noise.drawn(), batch_share(share):
            own = self.gradient(state, part, share / world_size())
        loss, rate, distortion = _add_up(weights, own, share / world_size())
        info = Info(loss, rate, distortion, clip_gradient(weights, state.clip_norm))
        take_step(state.optimizer)
        if state.ema is not None:
            state.ema.update()
        return replace(state, steps=state.steps + 1), info

    def steps(
        self,
        state: State,
        batches: Tensor,
        schedule: Sequence[ScheduleValues],
    ) -> tuple[State, Tensor]:
        """A step for each of several batches, as `steps`."""
        return steps(state, batches, schedule, self)


def _add_up(
    weights: Sequence[nn.Parameter],
    own: tuple[Info, Gradients],
    share: float,
) -> Sequence[Tensor]:
    """Give each weight the sum of its gradients, and return the means over the rows of the batch.

    A weight that has no gradient in any process has none afterwards.
    """
    info, gradients = own
    dense = [
        torch.zeros_like(weight) if gradient is None else gradient
        for weight, gradient in zip(weights, gradients, strict=True)
    ]
    is_reached = info.loss.new_tensor([gradient is not None for gradient in gradients])
    metrics = share * torch.stack(info[:3])
    sums = added_on_machine([*dense, is_reached, metrics])
    sizes = [weight.numel() for weight in weights]
    *flat, counts, means = sums.split([*sizes, len(weights), len(metrics)])
    for weight, gradient, count in zip(weights, flat, counts.tolist(), strict=True):
        weight.grad = None
        if count:
            weight.grad = gradient.view_as(weight).to(weight.dtype)
    return means.unbind()


def eager_gradient(state: State, part: Tensor, share: float) -> tuple[Info, Gradients]:
    """The metrics of some rows, and the gradient of `share` times their mean loss.

    The norm is left out: it is that of the sum over the processes.
    """
    rows = binarized(part) if state.binarize else part
    terms = state.terms(rows, state.beta)
    weights = weights_of(state.optimizer)
    for weight in weights:
        weight.grad = None
    loss = terms.loss.mean()
    (share * loss).backward()
    rate = terms.rate.detach().mean()
    distortion = terms.distortion.detach().mean()
    info = Info(loss.detach(), rate, distortion, loss.new_tensor(math.nan))
    return info, [weight.grad for weight in weights]


class CompiledGradient:
    """`eager_gradient` as one compiled graph, for parts of the size of the first one.

    The first call compiles it, is eager itself, and compares the metrics. Parts of another size, or
    with another share, are eager, and so is everything where the loss can't be compiled, with one
    warning. Every process decides that for itself: the numbers agree up to rounding.
    """

    def __init__(self) -> None:
        self.graph: CompiledGraph | None = None
        self.share = 0.0
        self.was_called = False

    def __call__(
        self, state: State, part: Tensor, share: float
    ) -> tuple[Info, Gradients]:
        state = replace(state, clip_norm=None)  # all processes together are clipped
        if not self.was_called:
            self.was_called = True
            return self._first(state, part, share)
        schedule = [ScheduleValues.of(state)]
        graph = self.graph
        if graph is None or share != self.share:
            return eager_gradient(state, part, share)
        if not graph.fits(state, part, schedule):
            return eager_gradient(state, part, share)
        info, gradients = graph.gradients(state, part)
        found = dict(zip(map(id, graph.graph.reached), gradients, strict=True))
        return info, [found.get(id(weight)) for weight in weights_of(state.optimizer)]

    def _first(
        self, state: State, part: Tensor, share: float
    ) -> tuple[Info, Gradients]:
        stack = part.unsqueeze(0).contiguous()
        tried = None
        try:
            with without_others():
                tried = attempt(state, stack, with_optimizer=False, share=share)
        except Exception as error:  # of many types; the eager gradient remains
            warn(EAGER, reason_of(error, state))
        info, gradients = eager_gradient(state, part, share)
        if tried is None:
            return info, gradients
        graph, found = tried
        norm = total_norm([one for one in gradients if one is not None])
        expected = info._replace(grad_norm=norm)
        if agree(found, expected):
            self.graph = graph
            self.share = share
        else:
            warn(EAGER, results_differ(metrics_of(found), metrics_of(expected)))
        return info, gradients
