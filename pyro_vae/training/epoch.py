"""One epoch of `fit`: a pass over the training rows, and one over the validation rows."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyro_vae.data import Rows
from pyro_vae.distributed.collectives import batch_share, mean_over_ranks
from pyro_vae.distributed.process_group import part_of_rank, seed_of_rank
from pyro_vae.networks import evaluating
from pyro_vae.rng import Stream, own_seed
from pyro_vae.termination import stop_if_late
from pyro_vae.training.nonfinite import (
    FAILURES,
    NotFiniteError,
    NotFiniteStep,
    about_rows,
    row_numbers,
)
from pyro_vae.training.options import FitOptions, Schedule, beta_at
from pyro_vae.training.progress import Progress
from pyro_vae.training.replayed_terms import TermsFunction, eager_terms
from pyro_vae.training.run import MetricMeans, Run
from pyro_vae.training.train_step import ScheduleValues, State, steps
from pyro_vae.training.training_data import TrainingData

StepsFunction = Callable[
    [State, Tensor, Sequence[ScheduleValues]], tuple[State, Tensor]
]
TOGETHER = 16
"""Batches that are cut out of the rows at once."""


@dataclass
class Training:
    """A run that is ready to start: what the epochs read and change.

    Attributes:
        run: the model, the options, and the history.
        state: the state before the next step.
        data: the rows.
        schedule: from the share of the run that is done to a factor of the learning rate.
        order: draws the order of the training rows.
        rows: the digests of all rows that were given, by the names of the arguments.
        given: the rows of x, by whose numbers rows are named.
        noise: what this one of several processes draws; torch's generators are the same in all.
        labels: gives the names of these rows, where they have some.
    """

    run: Run
    state: State
    data: TrainingData
    schedule: Schedule
    order: torch.Generator
    rows: Mapping[str, str] = field(default_factory=dict)
    given: Rows | None = None
    noise: Stream | None = None
    labels: Callable[[], Sequence[Any] | None] = lambda: None

    @property
    def options(self) -> FitOptions:
        """The options of the run."""
        return self.run.options

    @property
    def steps_per_epoch(self) -> int:
        """The number of training batches."""
        return self.data.train.steps(self.options.batch_size)

    def schedule_values(self, epochs_done: float) -> ScheduleValues:
        """KL weight and learning rates after so many epochs."""
        factor = self.schedule(epochs_done / (self.options.epochs or 1))
        groups = self.state.optimizer.param_groups
        lrs = [group["initial_lr"] * factor for group in groups]
        return ScheduleValues(beta_at(self.options, epochs_done), tuple(lrs))


def train_epoch(
    training: Training,
    epoch: int,
    steps_function: StepsFunction,
    progress: Progress,
) -> dict[str, float]:
    """One pass over the training rows.

    Returns:
        The row of the history. Its means are over rows, so a shorter last batch counts less.
    """
    start = time.perf_counter()
    state = training.state
    means = MetricMeans()
    batches_done = 0
    state.vae.train()
    for stack, weights in training.data.stacks(
        training.options.batch_size, TOGETHER, training.order
    ):
        numbers = range(batches_done, batches_done + len(stack))
        schedule = [
            training.schedule_values(epoch - 1 + number / training.steps_per_epoch)
            for number in numbers
        ]
        try:
            if weights is None:
                state, metrics = steps_function(state, stack, schedule)
            else:  # of `step` alone: a graph has no weights
                state, metrics = steps(state, stack, schedule, weights=weights)
        except NotFiniteStep as error:
            number = batches_done + error.number + 1
            raise stopped(training, epoch, number, error) from None
        except FAILURES as error:
            raise not_finite("a covariance", f"{epoch}", training.options) from error
        if state.on_nonfinite == "skip":
            metrics = metrics[metrics.isfinite().all(1)]
        means.add(metrics, rows=stack.shape[1])
        batches_done += len(stack)
        progress.advance(len(stack))
        stop_if_late()
    training.state = state
    training.run.skipped = state.skipped
    if not means.rows:
        raise not_finite("every batch", f"{epoch}", training.options)
    loss, rate, distortion, grad_norm = means.compute()
    return {
        "epoch": epoch,
        "loss": loss,
        "elbo": -(rate + distortion),
        "rate": rate,
        "distortion": distortion,
        "grad_norm": grad_norm,
        "lr": state.optimizer.param_groups[0]["lr"],
        "seconds": time.perf_counter() - start,
    }


def validate(
    state: State,
    data: TrainingData,
    options: FitOptions,
    terms: TermsFunction = eager_terms,
) -> dict[str, float]:
    """Loss, plain ELBO and its terms on the validation rows.

    The loss has the final β, and the noise is the same in every epoch.

    Arguments:
        terms: of the rows of a batch.

    Returns:
        The columns of the history; none where there are no validation rows.
    """
    if data.valid is None:
        return {}
    count = 0.0
    sums = torch.zeros(3, dtype=torch.float64)
    device = next(state.vae.parameters()).device
    averages = state.ema.applied() if state.ema else nullcontext()
    noise = own_seed(seed_of_rank(options.seed + 1), device)
    size = max(
        options.batch_size, 256
    )  # without gradients larger batches need no more memory
    with torch.no_grad(), averages, evaluating(state.vae), noise:
        for batch, weights in data.validation_batches(size):
            sums += _batch_sums(state, batch, weights, options.beta, terms)
            count += len(batch) if weights is None else float(weights.sum())
    loss, rate, distortion = (mean_over_ranks(sums) / count).tolist()
    return {
        "val_loss": loss,
        "val_elbo": -(rate + distortion),
        "val_rate": rate,
        "val_distortion": distortion,
    }


def _batch_sums(
    state: State,
    batch: Tensor,
    weights: Tensor | None,
    beta: float,
    make_terms: TermsFunction,
) -> Tensor:
    """Sums of loss, rate and distortion over the rows of a batch, (3,).

    In several processes each has the rows of its part, weighted so that the mean over the
    processes is the sum over the batch.
    """
    part, share = part_of_rank(batch)
    with batch_share(share):
        terms = make_terms(state, part, beta)
    columns = torch.stack([terms.loss, terms.rate, terms.distortion]).double()
    if weights is not None:
        columns = columns * weights
    return share * len(batch) / len(part) * columns.sum(1).cpu()


def require_finite(row: dict[str, float], options: FitOptions) -> None:
    """Raise ValueError where the loss, a term of it or the gradient is not finite."""
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        where = (
            f"{row['epoch']:.0f} (rate {row['rate']:g}, distortion "
            f"{row['distortion']:g})"
        )
        raise not_finite(", ".join(bad), where, options)


def stopped(
    training: Training, epoch: int, number: int, error: NotFiniteStep
) -> NotFiniteError:
    """The error of a run that a batch has ended, with the numbers of its rows."""
    rows: list[int] = []
    if training.given is not None:
        rows = row_numbers(training.given, error.rows)
    named = f"; {about_rows(rows, training.labels())} of x" if rows else ""
    where = f"{epoch} (batch {number} of {training.steps_per_epoch}{named})"
    return not_finite(error.what, where, training.options, rows, of_a_batch=True)


def not_finite(
    what: str,
    where: str,
    options: FitOptions,
    rows: Sequence[int] = (),
    *,
    of_a_batch: bool = False,
) -> NotFiniteError:
    """The error of a run that was finite before its first step, and is no more."""
    skip = ""
    if of_a_batch and options.on_nonfinite == "stop":
        skip = ", or leave such batches out (on_nonfinite='skip')"
    return NotFiniteError(
        f"fit: {what}: not finite in epoch {where}, and finite before the first step",
        f"lower lr (now {options.lr:g}) or set clip_norm{skip}",
        rows,
    )
