"""The loop: `fit` trains a model on rows of any origin and keeps the best weights."""

import os
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyro
import torch
from torch.optim import Optimizer

from pyro_vae.arguments import public
from pyro_vae.data import Placement, Rows, as_rows
from pyro_vae.data.binarize import binarized_once
from pyro_vae.distributed.process_group import (
    average_buffers,
    device_of_rank,
    interrupted_together,
    is_first,
    make_alike,
    world_size,
)
from pyro_vae.networks import mixed_precision
from pyro_vae.objectives import Objective
from pyro_vae.rng import own_seed
from pyro_vae.training.adam import is_adam
from pyro_vae.training.baseline import independent_score
from pyro_vae.training.checkpoint import Unfinished
from pyro_vae.training.compiled_step import CompiledStep
from pyro_vae.training.data_parallel import parallel
from pyro_vae.training.epoch import Moves, require_finite, train_epoch, validate
from pyro_vae.training.first_look import first_look, require_trainable
from pyro_vae.training.options import (
    SCHEDULES,
    FitOptions,
    MakeOptimizer,
    Schedule,
    choose_device,
    make_objective,
    make_optimizer,
    with_budget,
)
from pyro_vae.training.preparation import is_number, split, start
from pyro_vae.training.progress import Progress
from pyro_vae.training.run import Run
from pyro_vae.training.sleep import require_sleep, sleep
from pyro_vae.training.train_step import Average, State, steps
from pyro_vae.training.weights import RowWeights, eager, refuse_hidden_weights
from pyro_vae.vae import VAE

WORTH_COMPILING = 20_000
"""Steps: compiling takes some 20 seconds, and a compiled step saves at least a millisecond."""

SMALL, SEVERAL, WORTH_SEVERAL = 10_000_000, 4, 100_000
"""A step of fewer products than SMALL is so short that calling it counts: SEVERAL in one graph save
a fifth.
"""


@public
def fit(
    vae: VAE,
    x: Any,
    *,
    validation: Any = 0.1,
    weights: Any = None,
    objective: str | Mapping[str, Any] | Objective | None = None,
    optimizer: str | MakeOptimizer = "adam",
    schedule: str | Schedule = "cosine",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Run:
    """Train `vae` by stochastic variational inference: minimise the mean over rows of -ELBO =
    distortion + rate.

    Before the first step the rows are checked, the encoder's inputs standardised and the output
    biases set to the data's means; a model that was trained before is trained on. One seed gives
    one result, and torch's global generators are left as they were. An interrupt (Ctrl-C) ends the
    run with the best weights in place.

    Without `epochs` the budget is 100 passes over the rows, and for small data as many more as make
    4000 steps, and it ends early where half of it brought nothing better. The weights of the epoch
    that does best on the validation rows are kept, and `run.summary()` says when that was the last
    one, so that more might help. There the ELBO stands beside that of independent columns,
    `run.baseline`; a model that stays below is warned about.

    In several processes (`pyro_vae.distributed.process_group.joined`) all call it with the same
    arguments and end with the same weights;
    `batch_size` counts the rows of all.

    Arguments:
        vae: the model; trained in place.
        x: rows shaped (n, *data_shape): array, tensor, memmap, Dataset or DataLoader.
        validation: share or number of rows of `x` that choose the best epoch; or such rows
            themselves; or None.
        weights: how much each row of `x` counts in the loss, (n,), as importance or survey weights
            do; only their ratios matter. None: all the same. Where the model starts, they don't
            count.
        objective: "elbo", "iwae", "renyi", a table {"kind": ..., options}, or (model, guide, x,
            beta) -> Terms; None takes `ELBO(kl, num_particles)`.
        optimizer: a name in torch.optim, or a function from parameters to an optimizer.
        schedule: "constant", "cosine", or a function from the share of the run done to a factor of
            the learning rate.
        checkpoint: a file that holds the run while it goes on, written after an epoch where the
            last writing is 10 seconds ago. Where it is there already, the same call goes on after
            the epoch that it holds, with the same random numbers; a run that was over is given back
            as it was. With more `epochs` than it had it goes on, with learning rate and β of the
            longer run from there on: with the schedule "constant" that is what one long run does,
            and "cosine" rises again. Not for several processes.
        progress: show a bar on stderr; None shows it on a terminal and in a notebook, and elsewhere
            a line a minute.
        **options: the fields of `FitOptions`: epochs, min_steps, batch_size, lr, clip_norm,
            kl_warmup_epochs, kl_cycles, ema_decay, patience, sleep_share, kl, num_particles, seed,
            device, compile, binarize, precision, matmul_precision.

    Returns:
        The `Run`: the model, the history, the best epoch.

    Raises:
        ValueError: data that don't fit the model, options out of range, a loss that is not finite,
            a checkpoint of another run, weights that don't fit the rows or with a compiled step, a
            last batch of one row for a model that can't be trained on one.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> run = fit(vae, torch.randn(100, 4), epochs=2, validation=20)
        >>> [row["epoch"] for row in run.history]
        [1, 2]
    """
    refuse_hidden_weights(x)
    a_part = is_number(validation)
    named: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "objective": objective}
    named["validation"] = validation if a_part else None
    chosen = FitOptions(
        **options, **{name: value for name, value in named.items() if not callable(value)}
    )
    device = device_of_rank(choose_device(chosen.device))
    placement = Placement(device, next(vae.parameters()).dtype, grey=chosen.binarize == "dynamic")
    with torch.inference_mode(False), torch.enable_grad(), own_seed(chosen.seed, device):
        require_trainable(vae)
        rows = as_rows(x, vae.spec.data_shape, placement)
        train, valid = split(rows, validation, vae, placement, chosen.seed)
        row_weights = (
            None
            if weights is None
            else RowWeights(weights, rows, validation, placement, chosen.seed)
        )
        chosen = with_budget(
            chosen if row_weights is None else eager(chosen), train.steps(chosen.batch_size)
        )
        run = Run(vae, chosen)
        make_alike(vae.to(device))
        state = _state(vae, chosen, objective, optimizer)
        given = {"x": rows} if valid is None or a_part else {"x": rows, "validation": valid}
        start(vae, given, train, grey=placement.grey)
        if chosen.sleep_share:
            require_sleep(vae)
        if placement.grey and valid is not None:
            valid = binarized_once(valid, vae.spec.data_shape, chosen.seed, placement)
        first_look(state, train, chosen)
        if (
            valid is not None or not placement.grey
        ):  # of grey training rows the bits are drawn in each step
            run.baseline = independent_score(vae, train, valid, row_weights)
        run.remember()
        rule, order = (
            schedule if callable(schedule) else SCHEDULES[chosen.schedule],
            torch.Generator(),
        )
        order.manual_seed(chosen.seed)
        counts = None if row_weights is None else row_weights.train
        kept = (
            None
            if checkpoint is None
            else Unfinished(Path(checkpoint), run, order, train, valid, counts)
        )
        state = state if kept is None else kept.read(state)
        _loop(run, state, train, valid, rule, order, kept, progress, row_weights)
    if run.warning is not None:
        warnings.warn(f"fit: {run.warning}", stacklevel=3)
    return run


def _state(
    vae: VAE,
    options: FitOptions,
    objective: str | Mapping[str, Any] | Objective | None,
    optimizer: str | MakeOptimizer,
) -> State:
    """Where training begins: what is not named by an option is a function of the user's."""
    return State(
        vae,
        make_objective(options)
        if objective is None or isinstance(objective, str | Mapping)
        else objective,
        make_optimizer(options, vae.parameters(), optimizer if callable(optimizer) else None),
        clip_norm=options.clip_norm,
        average=Average(list(vae.parameters()), options.ema_decay) if options.ema_decay else None,
        binarize=options.binarize == "dynamic",
    )


def _loop(
    run: Run,
    state: State,
    train: Rows,
    valid: Rows | None,
    schedule: Schedule,
    order: torch.Generator,
    kept: Unfinished | None,
    shown: bool | None,
    weights: RowWeights | None,
) -> None:
    options, total = run.options, run.options.epochs or 0
    epochs, each = range(len(run.history) + 1, total + 1), train.steps(options.batch_size)
    ahead = each * len(epochs)
    move = (
        stepper(options, state.optimizer, ahead)
        if world_size() == 1
        else parallel(state, options, ahead)
    )
    for group in state.optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    progress = Progress(each * len(run.history), each * total, shown=shown if is_first() else False)
    try:
        with pyro.validation_enabled(False), progress, interrupted_together():
            if isinstance(getattr(move, "__self__", None), CompiledStep) and epochs:
                progress.compiling()
            for epoch in epochs:
                if run.exhausted():
                    break
                with mixed_precision(options.precision, options.matmul_precision):
                    state, row = train_epoch(
                        state, train, epoch, options, schedule, order, move, progress, weights
                    )
                average_buffers(state.vae)
                row |= validate(state, valid, options, weights) if valid is not None else {}
                require_finite(row, options)
                with state.average.applied() if state.average else nullcontext():
                    run.keep(row)
                if kept is not None:
                    kept.write(state, last=epoch == epochs[-1] or run.exhausted())
                progress.epoch(row)
            run.restore()
            if options.sleep_share:
                run.remember()
                sleep(run, state, train, valid, weights)
    except KeyboardInterrupt:
        run.interrupted = True
        best = f"those of epoch {run.best_epoch}" if run.best_epoch else "those from before the run"
        warnings.warn(
            f"fit: interrupted after {len(run.history)} of {total} epochs; the weights are {best}",
            stacklevel=4,
        )
    finally:
        run.restore()
        run.vae.eval()


def stepper(options: FitOptions, optimizer: Optimizer, count: int) -> Moves:
    """Eager steps or compiled ones, as `compile` says; "auto" compiles where the steps ahead are
    worth it.
    """
    if options.compile == "off" or (options.compile == "auto" and count < WORTH_COMPILING):
        return steps
    moves = options.compile == "step" or (options.compile == "auto" and is_adam(optimizer))
    products = options.batch_size * sum(
        weight.numel() for group in optimizer.param_groups for weight in group["params"]
    )
    return CompiledStep(
        moves, SEVERAL if moves and products < SMALL and count >= WORTH_SEVERAL else 1
    ).steps
