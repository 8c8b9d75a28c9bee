"""One training step: (state, batch) -> (state, info)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyro_vae.data import binarized
from pyro_vae.objectives import Objective, Terms
from pyro_vae.training.clipping import clip_gradient
from pyro_vae.training.ema import ExponentialMovingAverage
from pyro_vae.training.fused_adam import take_step
from pyro_vae.training.nonfinite import (
    FAILURES,
    NotFiniteStep,
    require_finite_gradient,
    require_finite_terms,
)
from pyro_vae.vae import VAE

MOST_ROWS = 1024
"""Of larger batches the rows aren't looked at one by one."""


class Info(NamedTuple):
    """The metrics of a step: means over its rows in nats, and the gradient norm before clipping."""

    loss: Tensor
    rate: Tensor
    distortion: Tensor
    grad_norm: Tensor


@dataclass(frozen=True)
class State:
    """All that changes in training: the modules in place, the numbers by replacement.

    Attributes:
        vae: the model; its parameters and buffers change in place.
        objective: gives the terms of the loss.
        optimizer: any torch optimizer over the model's parameters; changes in place.
        beta: the KL weight (1 is the ELBO).
        clip_norm: largest norm of the gradient.
        ema: exponential moving average of the weights, where one is kept.
        binarize: whether rows are grey levels, from which each step draws new bits.
        steps: number of steps made.
        on_nonfinite: what an eager step does where its loss or gradient is not finite: "stop"
            raises `NotFiniteStep`, "skip" leaves the weights alone, None doesn't look.
        skipped: number of steps that left the weights alone.
    """

    vae: VAE
    objective: Objective
    optimizer: Optimizer
    beta: float = 1.0
    clip_norm: float | None = None
    ema: ExponentialMovingAverage | None = None
    binarize: bool = False
    steps: int = 0
    on_nonfinite: Literal["stop", "skip"] | None = None
    skipped: int = 0

    def terms(self, rows: Tensor, beta: float) -> Terms:
        """The objective on some rows."""
        return self.objective(self.vae.model, self.vae.guide, rows, beta)


StepFunction = Callable[[State, Tensor], tuple[State, Info]]


class ScheduleValues(NamedTuple):
    """The KL weight and the learning rate of each parameter group at a step."""

    beta: float
    lrs: tuple[float, ...]

    @classmethod
    def of(cls, state: State) -> Self:
        """The current values."""
        lrs = [group["lr"] for group in state.optimizer.param_groups]
        return cls(state.beta, tuple(lrs))


def with_schedule_values(state: State, values: ScheduleValues) -> State:
    """The state with these values of the schedules."""
    for group, lr in zip(state.optimizer.param_groups, values.lrs, strict=True):
        group["lr"] = lr
    return replace(state, beta=values.beta)


def weights_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """The weights that an optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def steps(
    state: State,
    batches: Tensor,
    schedule: Sequence[ScheduleValues],
    step_function: "StepFunction | None" = None,
    weights: Tensor | None = None,
) -> tuple[State, Tensor]:
    """A step for each of several batches.

    Arguments:
        state: the state before the steps.
        batches: batches of one size, shaped (steps, rows, *data_shape).
        schedule: values of the schedules for each step.
        step_function: makes one step; `step` by default.
        weights: weight of each row, (steps, rows), for `step`.

    Returns:
        The state afterwards, and the metrics of each step, the fields of `Info`, (steps, 4).
    """
    metrics = []
    pairs = zip(batches.unbind(), schedule, strict=True)
    for index, (batch, values) in enumerate(pairs):
        state = with_schedule_values(state, values)
        try:
            if weights is not None:
                state, info = step(state, batch, weights[index])
            else:
                state, info = (step_function or step)(state, batch)
        except NotFiniteStep as error:
            error.number = index
            raise
        metrics.append(torch.stack(info))
    return state, torch.stack(metrics)


def step(
    state: State,
    batch: Tensor,
    weights: Tensor | None = None,
) -> tuple[State, Info]:
    """Move the weights once down the gradient of the mean loss over the rows of `batch`.

    Arguments:
        state: the state before the step.
        batch: rows, (n, *data_shape).
        weights: w, (n,), with mean 1 over all rows: the loss and the metrics are means of
            wᵢ times the term of row i. None: 1 for each row.

    Returns:
        The state afterwards, and the metrics of the step.

    Example:
        >>> import torch
        >>> from pyro_vae.objectives import ELBO
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
        >>> state, info = step(state, torch.zeros(10, 4))
        >>> state.steps
        1
    """
    skips = state.on_nonfinite == "skip"
    # the statistics of BatchNorm change before the loss is known
    before = [one.clone() for one in state.vae.buffers()] if skips else []
    try:
        info = _gradient(state, batch, weights)
    except NotFiniteStep:
        if not skips:
            raise
        for buffer, value in zip(state.vae.buffers(), before, strict=True):
            buffer.copy_(value)
        unknown = torch.full((), math.nan, device=batch.device)
        left_out = replace(state, steps=state.steps + 1, skipped=state.skipped + 1)
        return left_out, Info(unknown, unknown, unknown, unknown)
    take_step(state.optimizer)
    if state.ema is not None:
        state.ema.update()
    return replace(state, steps=state.steps + 1), info


def _gradient(state: State, batch: Tensor, weights: Tensor | None) -> Info:
    """The metrics of a step, whose gradient is left in the weights.

    Raises:
        NotFiniteStep: a loss or gradient that is not finite, where the state looks for it.
    """
    rows = binarized(batch) if state.binarize else batch
    try:
        terms = state.terms(rows, state.beta)
    except FAILURES as error:
        if state.on_nonfinite is None:
            raise
        raise failed_density(state, rows, batch) from error
    loss = _mean(terms.loss, weights)
    rate = _mean(terms.rate, weights)
    distortion = _mean(terms.distortion, weights)

    parameters = weights_of(state.optimizer)
    for parameter in parameters:  # optimizer.zero_grad() does more and takes longer
        parameter.grad = None
    loss.backward()
    grad_norm = clip_gradient(parameters, state.clip_norm)
    info = Info(loss.detach(), rate.detach(), distortion.detach(), grad_norm)
    if state.on_nonfinite is not None and not _is_finite(info):
        require_finite_terms(terms, batch)
        bad = batch
        if state.on_nonfinite == "stop":
            bad = batch[_rows_of_gradient(state, rows)]
        require_finite_gradient(list(state.vae.named_parameters()), grad_norm, bad)
    return info


def _is_finite(info: Info) -> bool:
    """Whether all metrics of a step are finite."""
    total = info.loss + info.rate + info.distortion + info.grad_norm
    return math.isfinite(float(total))


def _rows_of_gradient(state: State, rows: Tensor) -> list[int]:
    """The rows whose gradient alone is not finite; all where there are none, or they can't tell."""
    every = list(range(len(rows)))
    if len(rows) > MOST_ROWS:
        return every
    parameters = [one for one in state.vae.parameters() if one.requires_grad]
    bad = []
    for number, row in enumerate(rows):
        try:
            loss = state.terms(row[None], state.beta).loss.sum()
            found: Sequence[Tensor | None] = torch.autograd.grad(
                loss, parameters, allow_unused=True
            )
        except (*FAILURES, RuntimeError, ValueError):  # such as BatchNorm of one row
            return every
        if not all(one is None or bool(one.isfinite().all()) for one in found):
            bad.append(number)
    return bad or every


def failed_density(state: State, rows: Tensor, batch: Tensor) -> NotFiniteStep:
    """The error for a batch whose density can't be computed, with the rows that can't alone."""
    bad = []
    with torch.no_grad():
        for number, row in enumerate(rows):
            try:
                state.terms(row[None], state.beta)
            except FAILURES:
                bad.append(number)
            except (RuntimeError, ValueError):  # such as BatchNorm of one row
                return NotFiniteStep("a covariance", batch)
    return NotFiniteStep("a covariance", batch[bad] if bad else batch)


def _mean(term: Tensor, weights: Tensor | None) -> Tensor:
    return term.mean() if weights is None else (weights * term).mean()
