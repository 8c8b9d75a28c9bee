"""The loop: `fit` trains a model on rows of any origin and keeps the best weights."""

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.optim import Optimizer
from tqdm import tqdm

from pyro_vae.arguments import public
from pyro_vae.data import Rows, Target, as_rows, binarized
from pyro_vae.data.binarize import binarized_once
from pyro_vae.networks import evaluating, products_in
from pyro_vae.objectives import Objective
from pyro_vae.ranks import (
    average_buffers,
    device_of_rank,
    interrupted_together,
    is_first,
    make_alike,
    mean_over_ranks,
    part_of_rank,
    seed_of_rank,
    weighing,
    world_size,
)
from pyro_vae.rng import own_seed
from pyro_vae.training.adam import is_adam
from pyro_vae.training.compiled import CompiledStep
from pyro_vae.training.options import (
    SCHEDULES,
    FitOptions,
    MakeOptimizer,
    Schedule,
    choose_device,
    make_objective,
    make_optimizer,
    rate_weight,
)
from pyro_vae.training.parallel import parallel
from pyro_vae.training.preparation import split, start
from pyro_vae.training.run import Means, Run
from pyro_vae.training.step import Average, Pace, State, steps
from pyro_vae.training.unfinished import Unfinished
from pyro_vae.vae import VAE

Moves = Callable[[State, Tensor, Sequence[Pace]], tuple[State, Tensor]]
WORTH_COMPILING = 20_000
"""Steps: compiling takes some 20 seconds, and a compiled step saves at least a millisecond."""

SMALL, SEVERAL, WORTH_SEVERAL = 10_000_000, 4, 100_000
"""A step of fewer products than SMALL is so short that calling it counts: SEVERAL in one graph save a fifth."""
TOGETHER = 16
"""Batches that are cut at once."""


@public
def fit(
    vae: VAE,
    x: Any,
    *,
    validation: Any = 0.1,
    objective: str | Mapping[str, Any] | Objective | None = None,
    optimizer: str | MakeOptimizer = "adam",
    schedule: str | Schedule = "cosine",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Run:
    """Train `vae` by stochastic variational inference: minimise the mean over rows of -ELBO = distortion + rate.

    Before the first step the rows are checked, the encoder's inputs standardised and the output biases set to the
    data's means; a model that was trained before is trained on. One seed gives one result, and torch's global
    generators are left as they were. An interrupt (Ctrl-C) ends the run with the best weights in place.

    In several processes (`pyro_vae.ranks.joined`) all call it with the same arguments and end with the same weights;
    `batch_size` counts the rows of all.

    Arguments:
        vae: the model; trained in place.
        x: rows shaped (n, *data_shape): array, tensor, memmap, Dataset or DataLoader.
        validation: share or number of rows of `x` that choose the best epoch; or such rows themselves; or None.
        objective: "elbo", "iwae", "renyi", a table {"kind": ..., options}, or (model, guide, x, rate_weight) -> Terms;
            None takes `ELBO(kl, num_particles)`.
        optimizer: a name in torch.optim, or a function from parameters to an optimizer.
        schedule: "constant", "cosine", or a function from the share of the run done to a factor of the learning rate.
        checkpoint: a file that holds the run while it goes on, written after an epoch where the last writing is 10
            seconds ago. Where it is there already, the same call goes on after the epoch that it holds, with the same
            random numbers; a run that was over is given back as it was. Not for several processes.
        progress: show a bar on stderr; None shows it on a terminal only.
        **options: the fields of `FitOptions`: epochs, batch_size, lr, clip_norm, annealing, average, patience, kl,
            num_particles, seed, device, compile, binarize, products, float32_products.

    Returns:
        The `Run`: the model, the history, the best epoch.

    Raises:
        ValueError: data that don't fit the model, options out of range, a loss that is not finite, a checkpoint of
            another run.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> run = fit(vae, torch.randn(100, 4), epochs=2, validation=20)
        >>> [row["epoch"] for row in run.history]
        [1, 2]
    """
    a_part = isinstance(validation, float | int)
    named: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "objective": objective}
    named["validation"] = validation if a_part else None
    chosen = FitOptions(**options, **{name: value for name, value in named.items() if not callable(value)})
    device = device_of_rank(choose_device(chosen.device))
    target = Target(device, next(vae.parameters()).dtype, grey=chosen.binarize == "dynamic")
    rows = as_rows(x, vae.spec.data_shape, target)
    train, valid = split(rows, validation, vae, target, chosen.seed)
    run = Run(vae, chosen)
    make_alike(vae.to(device))
    with own_seed(chosen.seed, device):
        state = State(
            vae,
            make_objective(chosen) if objective is None or isinstance(objective, str | Mapping) else objective,
            make_optimizer(chosen, vae.parameters(), optimizer if callable(optimizer) else None),
            clip_norm=chosen.clip_norm,
            average=Average(list(vae.parameters()), chosen.average) if chosen.average else None,
            binarize=target.grey,
        )
        given = {"x": rows} if valid is None or a_part else {"x": rows, "validation": valid}
        start(vae, given, train, grey=target.grey)
        if target.grey and valid is not None:
            valid = binarized_once(valid, vae.spec.data_shape, chosen.seed, target)
        _first_look(state, train, rate_weight(chosen, 0))
        run.remember()
        rule, order = schedule if callable(schedule) else SCHEDULES[chosen.schedule], torch.Generator()
        order.manual_seed(chosen.seed)
        kept = None if checkpoint is None else Unfinished(Path(checkpoint), run, order, train, valid)
        state = state if kept is None else kept.read(state)
        _loop(run, state, train, valid, rule, order, kept, progress)
    return run


def _first_look(state: State, train: Rows, weight: float) -> None:
    """One evaluation with Pyro's validation on: what is wrong shows here, with Pyro's message."""
    with pyro.validation_enabled(True), torch.no_grad(), evaluating(state.vae):
        batch = next(train.batches(16))
        state.objective(state.vae.model, state.vae.guide, binarized(batch) if state.binarize else batch, weight)


def _loop(
    run: Run,
    state: State,
    train: Rows,
    valid: Rows | None,
    schedule: Schedule,
    order: torch.Generator,
    kept: Unfinished | None,
    progress: bool | None,
) -> None:
    options, epochs = run.options, range(len(run.history) + 1, run.options.epochs + 1)
    each, alone = train.steps(options.batch_size), world_size() == 1
    ahead = each * len(epochs)
    move = stepper(options, state.optimizer, ahead) if alone else parallel(state, options, ahead)
    for group in state.optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    hidden = (None if progress is None else not progress) if is_first() else True
    done = {"initial": each * len(run.history), "total": each * options.epochs}
    bar = tqdm(**done, disable=hidden, desc="fit", unit="step", dynamic_ncols=True)
    try:
        with pyro.validation_enabled(False), bar, interrupted_together():
            for epoch in epochs:
                if run.exhausted():
                    break
                with products_in(options.products, options.float32_products):
                    state, row = _epoch(state, train, epoch, options, schedule, order, move, bar)
                average_buffers(state.vae)
                row |= _validate(state, valid, options) if valid is not None else {}
                _require_finite(row, options)
                with state.average.applied() if state.average else nullcontext():
                    run.keep(row)
                if kept is not None:
                    kept.write(state, last=epoch == epochs[-1] or run.exhausted())
                bar.set_postfix_str(_postfix(row))
    except KeyboardInterrupt:
        run.interrupted = True
        best = f"those of epoch {run.best_epoch}" if run.best_epoch else "those from before the run"
        warnings.warn(
            f"fit: interrupted after {len(run.history)} of {options.epochs} epochs; the weights are {best}",
            stacklevel=4,
        )
    finally:
        run.restore()
        run.vae.eval()


def stepper(options: FitOptions, optimizer: Optimizer, count: int) -> Moves:
    """Eager steps or compiled ones, as `compile` says; "auto" compiles where the steps ahead are worth it."""
    if options.compile == "off" or (options.compile == "auto" and count < WORTH_COMPILING):
        return steps
    moves = options.compile == "step" or (options.compile == "auto" and is_adam(optimizer))
    products = options.batch_size * sum(
        weight.numel() for group in optimizer.param_groups for weight in group["params"]
    )
    return CompiledStep(moves, SEVERAL if moves and products < SMALL and count >= WORTH_SEVERAL else 1).steps


def _epoch(
    state: State,
    train: Rows,
    epoch: int,
    options: FitOptions,
    schedule: Schedule,
    order: torch.Generator,
    move: Moves,
    bar: "tqdm[Any]",
) -> tuple[State, dict[str, float]]:
    """One pass over the rows; the means of the epoch are over rows, so a short last batch weighs what it holds."""
    began, number, means = time.perf_counter(), 0, Means()
    count, base = train.steps(options.batch_size), [group["initial_lr"] for group in state.optimizer.param_groups]

    def pace(number: int) -> Pace:
        done = epoch - 1 + number / count
        factor = schedule(done / options.epochs)
        return Pace(rate_weight(options, done), tuple(lr * factor for lr in base))

    state.vae.train()
    for stack in train.stacks(options.batch_size, TOGETHER, order):
        state, told = move(state, stack, [pace(number + index) for index in range(len(stack))])
        means.add(told, stack.shape[1])
        number += len(stack)
        bar.update(len(stack))
    loss, rate, distortion, grad_norm = means.now()
    row: dict[str, float] = {"epoch": epoch, "loss": loss, "elbo": -(rate + distortion), "rate": rate}
    row |= {"distortion": distortion, "grad_norm": grad_norm, "lr": state.optimizer.param_groups[0]["lr"]}
    return state, row | {"seconds": time.perf_counter() - began}


def _validate(state: State, valid: Rows, options: FitOptions) -> dict[str, float]:
    """The loss with the final β, the plain ELBO and its terms on the validation rows, with one noise in every epoch."""
    rows, totals = 0, torch.zeros(3, dtype=torch.float64)
    averaged = state.average.applied() if state.average else nullcontext()
    device, seed = next(state.vae.parameters()).device, seed_of_rank(options.seed + 1)
    with torch.no_grad(), averaged, evaluating(state.vae), own_seed(seed, device):
        for batch in valid.batches(max(options.batch_size, 256)):
            part, weight = part_of_rank(batch)
            with weighing(weight):
                terms = state.objective(state.vae.model, state.vae.guide, part, options.beta)
            sums = torch.stack([terms.loss.sum(), terms.rate.sum(), terms.distortion.sum()]).double().cpu()
            totals += weight * len(batch) / len(part) * sums
            rows += len(batch)
    loss, rate, distortion = (mean_over_ranks(totals) / rows).tolist()
    return {"val_loss": loss, "val_elbo": -(rate + distortion), "val_rate": rate, "val_distortion": distortion}


def _require_finite(row: dict[str, float], options: FitOptions) -> None:
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(
            f"fit: {', '.join(bad)} not finite in epoch {row['epoch']:.0f} (rate {row['rate']:g}, distortion "
            f"{row['distortion']:g}); the best weights before are kept; lower lr (now {options.lr:g}) or set clip_norm"
        )


def _postfix(row: dict[str, float]) -> str:
    shown = {"elbo": "elbo", "val_elbo": "validation", "rate": "rate"}
    return ", ".join(f"{word} {row[name]:.2f}" for name, word in shown.items() if name in row)
