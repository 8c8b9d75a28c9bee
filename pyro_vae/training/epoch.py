"""One epoch of `fit`: a pass over the training rows, a look at the validation rows, and what is
asked of both.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from pyro_vae.data import Rows
from pyro_vae.distributed.process_group import mean_over_ranks, part_of_rank, seed_of_rank, weighing
from pyro_vae.networks import evaluating
from pyro_vae.rng import own_seed
from pyro_vae.training.options import FitOptions, Schedule, beta_at
from pyro_vae.training.progress import Progress
from pyro_vae.training.run import Means
from pyro_vae.training.train_step import Pace, State, steps
from pyro_vae.training.weights import RowWeights

Moves = Callable[[State, Tensor, Sequence[Pace]], tuple[State, Tensor]]
TOGETHER = 16
"""Batches that are cut at once."""


def train_epoch(
    state: State,
    train: Rows,
    epoch: int,
    options: FitOptions,
    schedule: Schedule,
    order: torch.Generator,
    move: Moves,
    progress: Progress,
    weights: RowWeights | None = None,
) -> tuple[State, dict[str, float]]:
    """One pass over the rows; the means of the epoch are over rows, so a short last batch weighs
    what it holds.
    """
    began, number, means = time.perf_counter(), 0, Means()
    count = train.steps(options.batch_size)
    base = [group["initial_lr"] for group in state.optimizer.param_groups]

    def pace(number: int) -> Pace:
        done = epoch - 1 + number / count
        factor = schedule(done / (options.epochs or 1))
        return Pace(beta_at(options, done), tuple(lr * factor for lr in base))

    state.vae.train()
    for stack, row_weights in _stacks(train, weights, options.batch_size, order):
        paces = [pace(number + index) for index in range(len(stack))]
        if row_weights is None:
            state, told = move(state, stack, paces)
        else:
            state, told = steps(state, stack, paces, weights=row_weights)
        means.add(told, stack.shape[1])
        number += len(stack)
        progress.advance(len(stack))
    loss, rate, distortion, grad_norm = means.now()
    row: dict[str, float] = {
        "epoch": epoch,
        "loss": loss,
        "elbo": -(rate + distortion),
        "rate": rate,
    }
    row |= {
        "distortion": distortion,
        "grad_norm": grad_norm,
        "lr": state.optimizer.param_groups[0]["lr"],
    }
    return state, row | {"seconds": time.perf_counter() - began}


def _stacks(
    train: Rows, weights: RowWeights | None, size: int, order: torch.Generator
) -> Iterator[tuple[Tensor, Tensor | None]]:
    if weights is None:
        return ((stack, None) for stack in train.stacks(size, TOGETHER, order))
    return weights.stacked(train, size, TOGETHER, order)


def validate(
    state: State, valid: Rows, options: FitOptions, weights: RowWeights | None = None
) -> dict[str, float]:
    """The loss with the final β, the plain ELBO and its terms on the validation rows, with one
    noise in every epoch.
    """
    total, totals = 0.0, torch.zeros(3, dtype=torch.float64)
    averaged = state.average.applied() if state.average else nullcontext()
    device, seed = next(state.vae.parameters()).device, seed_of_rank(options.seed + 1)
    with torch.no_grad(), averaged, evaluating(state.vae), own_seed(seed, device):
        for batch, counts in weighted_batches(valid, max(options.batch_size, 256), weights):
            part, weight = part_of_rank(batch)
            with weighing(weight):
                terms = state.objective(state.vae.model, state.vae.guide, part, options.beta)
            each = torch.stack([terms.loss, terms.rate, terms.distortion]).double()
            sums = each.sum(1) if counts is None else (each * counts).sum(1)
            totals += weight * len(batch) / len(part) * sums.cpu()
            total += len(batch) if counts is None else float(counts.sum())
    loss, rate, distortion = (mean_over_ranks(totals) / total).tolist()
    return {
        "val_loss": loss,
        "val_elbo": -(rate + distortion),
        "val_rate": rate,
        "val_distortion": distortion,
    }


def weighted_batches(
    valid: Rows, size: int, weights: RowWeights | None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The batches of the validation rows, each with the weights of its rows where they have some."""
    batches = valid.batches(size)
    if weights is None or weights.valid is None:
        return ((batch, None) for batch in batches)
    return zip(batches, weights.valid.batches(size), strict=True)


def require_finite(row: dict[str, float], options: FitOptions) -> None:
    """Raise ValueError where the loss, a term of it or the gradient is not a number."""
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(
            f"fit: {', '.join(bad)} not finite in epoch {row['epoch']:.0f} (rate {row['rate']:g}, "
            f"distortion {row['distortion']:g}), and finite before the first step; the best "
            f"weights before are kept; lower lr (now {options.lr:g}) or set clip_norm"
        )
