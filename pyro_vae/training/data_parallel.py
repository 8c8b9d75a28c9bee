"""The step of several processes: each takes its part of the batch, and all make the same move."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pyro_vae.data import binarized
from pyro_vae.distributed.process_group import (
    begin_mean_over_ranks,
    gathered,
    is_first,
    part_of_rank,
    seed_of_rank,
    weighing,
    world_size,
)
from pyro_vae.objectives import Terms
from pyro_vae.objectives.base import Program
from pyro_vae.rng import Stream
from pyro_vae.training.options import FitOptions
from pyro_vae.training.train_step import Info, State, step, steps


def parallel(state: State, options: FitOptions, count: int) -> Callable[..., tuple[State, Tensor]]:
    """`steps` of several processes, which are eager whatever `compile` says.

    Raises:
        ValueError: the processes have different numbers of steps ahead, so one would wait for ever.
    """
    if len(set(ahead := gathered(count))) > 1:
        raise ValueError(
            f"x: expected the same rows in every process, got {ahead} steps ahead; pass all rows "
            "to each"
        )
    if options.compile in {"step", "loss"} and is_first():
        warnings.warn(
            f"fit: {world_size()} processes make eager steps, not compiled ones", stacklevel=5
        )
    return partial(steps, move=ParallelStep(state, options.seed))


class ParallelStep:
    """`step` in W processes at once, which give it the same state and the same batch.

    Each computes the gradient on its rows of the batch, and while it goes backward torch's
    DistributedDataParallel averages it over the processes, weighted so that it is the gradient of
    the mean over all rows. Clipping, optimizer and average then see the same numbers everywhere, so
    the parameters stay the same to the last bit. What a step tells is of the whole batch.

    Each process has noise of its own, from the seed and its rank, and leaves torch's generators
    alone: whatever else is drawn from them is the same in all. A layer that looks across rows, such
    as BatchNorm, sees the rows of its process. The same weights must have a gradient in every step.

    References:
        PyTorch Distributed: Experiences on Accelerating Data Parallel Training (Li et al., 2020).

    Arguments:
        state: the model and the objective that the steps will have.
        seed: of the noise.
    """

    def __init__(self, state: State, seed: int) -> None:
        self.terms = DistributedDataParallel(_Objective(state), static_graph=True)
        self.noise = Stream(seed_of_rank(seed), next(state.vae.parameters()).device)

    def __call__(self, state: State, batch: Tensor) -> tuple[State, Info]:
        part, weight = part_of_rank(batch)
        if state.binarize:
            with self.noise.drawn():
                part = binarized(part)
        own = replace(state, objective=partial(self._weighted, weight), binarize=False)
        moved, info = step(own, part)
        loss, rate, distortion = self.told()
        return replace(state, steps=moved.steps), Info(loss, rate, distortion, info.grad_norm)

    def _weighted(
        self, weight: float, model: Program, guide: Program, x: Tensor, beta: float = 1.0
    ) -> Terms:
        """The terms of this process, whose mean loss is wᵣ times that of its rows; the means of all
        are asked for.
        """
        with self.noise.drawn(), weighing(weight):
            terms: Terms = self.terms(x, beta)
        means = torch.stack(
            [
                terms.loss.detach().mean(),
                terms.rate.detach().mean(),
                terms.distortion.detach().mean(),
            ]
        )
        self.told = begin_mean_over_ranks(weight * means)
        return terms._replace(loss=weight * terms.loss)


class _Objective(nn.Module):
    """The objective as a module with the parameters of the model; its buffers are not of this
    module.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.weights = nn.ParameterList(state.vae.parameters())
        self.state = state

    def forward(self, x: Tensor, beta: float) -> Terms:
        return self.state.objective(self.state.vae.model, self.state.vae.guide, x, beta)
