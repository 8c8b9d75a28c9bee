"""The step of several processes: each computes its part of the batch, and all move alike."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pyro_vae.arguments import warn_caller
from pyro_vae.data import binarized
from pyro_vae.distributed.process_group import (
    batch_share,
    begin_mean_over_ranks,
    gathered,
    is_first,
    part_of_rank,
    seed_of_rank,
    world_size,
)
from pyro_vae.objectives import Terms
from pyro_vae.objectives.base import Program
from pyro_vae.rng import Stream
from pyro_vae.training.epoch import StepsFunction
from pyro_vae.training.options import FitOptions
from pyro_vae.training.train_step import Info, State, step, steps


def parallel(state: State, options: FitOptions, count: int) -> StepsFunction:
    """`steps` of several processes, which are eager whatever `compile` says.

    Raises:
        ValueError: the processes have different numbers of steps ahead, so one would wait for ever.
    """
    counts = gathered(count)
    if len(set(counts)) > 1:
        raise ValueError(
            f"x: expected the same rows in every process, got {counts} steps ahead; pass all rows "
            "to each"
        )
    if options.compile in {"step", "loss"} and is_first():
        warn_caller(
            f"fit: {world_size()} processes make eager steps, not compiled ones"
        )
    return partial(steps, step_function=ParallelStep(state, options.seed))


class ParallelStep:
    """`step` in W processes at once, which give it the same state and the same batch.

    Each computes the gradient on its rows of the batch, and while it goes backward torch's
    DistributedDataParallel averages it over the processes, weighted so that it is the gradient of
    the mean over all rows. Clipping, optimizer and average then see the same numbers everywhere, so
    the parameters stay the same to the last bit. The metrics are those of the whole batch.

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
        part, share = part_of_rank(batch)
        if state.binarize:  # here, so that the bits are of this process's noise
            with self.noise.drawn():
                part = binarized(part)
        objective = partial(self._shared, share)
        own_state = replace(state, objective=objective, binarize=False)
        stepped, info = step(own_state, part)
        loss, rate, distortion = self.wait_for_means()
        whole_batch = Info(loss, rate, distortion, info.grad_norm)
        return replace(state, steps=stepped.steps), whole_batch

    def _shared(
        self,
        share: float,
        model: Program,
        guide: Program,
        x: Tensor,
        beta: float = 1.0,
    ) -> Terms:
        """The terms of this process, with its share of the loss of the batch.

        The means over all processes are begun here, so that they travel while it goes backward.
        """
        with self.noise.drawn(), batch_share(share):
            terms: Terms = self.terms(x, beta)
        columns = (terms.loss, terms.rate, terms.distortion)
        means = [column.detach().mean() for column in columns]
        self.wait_for_means = begin_mean_over_ranks(share * torch.stack(means))
        return terms._replace(loss=share * terms.loss)


class _Objective(nn.Module):
    """The objective as a module with the model's parameters, and without its buffers.

    DistributedDataParallel would broadcast buffers in each step.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.weights = nn.ParameterList(state.vae.parameters())
        self.state = state

    def forward(self, x: Tensor, beta: float) -> Terms:
        return self.state.terms(x, beta)
