"""The objective is evaluated before the first step, so that a mistake shows in seconds."""

import copy
from typing import Any

import torch
from torch import Tensor

from pyro_vae.arguments import warn_caller
from pyro_vae.data import LoaderRows, Rows, binarized
from pyro_vae.data.given_rows import GivenRows
from pyro_vae.distributed.process_group import is_first, world_size
from pyro_vae.labels import label_of
from pyro_vae.networks import evaluating
from pyro_vae.networks.evaluation_mode import unvalidated, validated
from pyro_vae.rng import own_seed
from pyro_vae.training.nonfinite import FAILURES
from pyro_vae.training.options import FitOptions, beta_at
from pyro_vae.training.train_step import State
from pyro_vae.vae import VAE

EXTREME = 1e15
"""Numbers beyond which, or below whose inverse, squares leave float32."""


def require_trainable(vae: VAE, options: FitOptions) -> None:
    """Raise ValueError for weights that can't have a gradient, or rows without their context."""
    _require_given_rows(vae, options)
    if any(parameter.is_inference() for parameter in vae.parameters()):
        raise ValueError(
            "vae: expected weights that have gradients, got those of a model made inside "
            "torch.inference_mode(); make the model outside of it"
        )


def _require_given_rows(vae: VAE, options: FitOptions) -> None:
    """Raise ValueError for options that would draw rows, of which no context is known."""
    if vae.spec.context is None:
        return
    if options.sleep_share:
        raise ValueError(
            "sleep_share: expected 0 for a model with a context, since the rows that it draws have "
            f"none, got {options.sleep_share}; leave it out"
        )
    if options.binarize != "none":
        raise ValueError(
            f"binarize: expected 'none' for a model with a context, got {options.binarize!r}; draw "
            "the bits before: pyro_vae.data.load, or x > 0.5"
        )


def warn_of_labels(vae: VAE, train: Rows) -> None:
    """Warn of a label that training can't learn: no weight, or classes without a known label."""
    context = vae.spec.context
    if context is None or context.label is None or not is_first():
        return
    if not context.label.weight:
        warn_caller(
            "fit: with label weight 0 nothing asks q(y | x) to name the known labels: the sum over "
            "labels alone gave 0.23 of MNIST right with 100 labels in Pyro's example, and 0.93 "
            "with the term; leave weight out"
        )
    if not isinstance(train, GivenRows):
        return  # another pass over a loader would cost too much
    label = label_of(train.contexts)
    known = label[~label.isnan()].long()
    counts = torch.bincount(known, minlength=context.classes or 0)
    empty = torch.nonzero(counts == 0).flatten().tolist()
    if empty:
        names: Any = range(len(counts))
        if context.table is not None:
            names = context.table.modelled[-1].levels
        shown = ", ".join(str(names[number]) for number in empty[:5])
        warn_caller(
            f"fit: no training row has the label {shown} ({len(empty)} of {len(counts)} classes): "
            "these are clusters without a name; pass some labels of each, or validation=None where "
            "validation has them"
        )


def check_objective(state: State, train: Rows, options: FitOptions) -> None:
    """Evaluate the objective once on some rows, with Pyro's validation on.

    Where an epoch ends with a batch of one row, it is tried in training mode too.

    Raises:
        ValueError: Pyro's message; a loss that is not finite; a batch of one row for a model that
            can't be trained on one.
    """
    with validated(), torch.no_grad(), evaluating(state.vae):
        batch = next(train.batches(16))
        rows = binarized(batch) if state.binarize else batch
        try:
            terms = state.terms(rows, beta_at(options, 0))
        except FAILURES as error:
            raise ValueError(
                f"fit: a covariance is not finite before the first step; {_remedy(batch)}"
            ) from error
    if not bool(torch.isfinite(terms.distortion + terms.rate).all()):
        raise ValueError(
            "fit: the loss is not finite before the first step (rate "
            f"{float(terms.rate.mean()):g}, distortion {float(terms.distortion.mean()):g} on "
            f"{len(rows)} rows); {_remedy(batch)}"
        )
    if world_size() == 1:
        _require_lone_row(state, rows[:1], train, options)


def _remedy(batch: Tensor) -> str:
    size = batch.abs().amax().item()
    spread = 1.0
    if len(batch) > 1:
        spread = batch.std(0).amax().item()
    if size > EXTREME or 0 < spread < 1 / EXTREME:
        return (
            f"the rows have numbers up to {size:g}, with a standard deviation of {spread:g}, and "
            "their squares leave float32: divide each column by its spread, or compute in float64 "
            "(vae.double())"
        )
    return (
        "so no learning rate helps: look at the prior, the likelihood and the guide that the "
        "model was given"
    )


def _require_lone_row(
    state: State,
    row: Tensor,
    train: Rows,
    options: FitOptions,
) -> None:
    """Raise ValueError where an epoch has a batch of one row, and the model fails on one."""
    size, count = _batches_of(train, options)
    has_lone_row = size == 1 or (size > 1 and count % size == 1)
    if not has_lone_row:
        return
    trial = copy.deepcopy(state.vae).train()  # BatchNorm changes its statistics
    try:
        with torch.no_grad(), own_seed(0, row.device), unvalidated():
            state.objective(trial.model, trial.guide, row, 1.0)
    except (
        Exception
    ) as error:  # of any type: a layer says in its own way what it can't do
        larger = range(size + 1, count + 1)
        better = next((number for number in larger if count % number != 1), None)
        remedy = f"take batch_size={better}"
        if better is None:
            remedy = "take networks without BatchNorm"
        raise ValueError(
            f"batch_size: {count} rows in batches of {size} end with a batch of one row, on which "
            f"the model can't be trained ({str(error).splitlines()[0]}); {remedy}"
        ) from error


def _batches_of(train: Rows, options: FitOptions) -> tuple[int, int]:
    """The size of a batch and the number of rows.

    Both are 0 for a DataLoader whose sizes are unknown, or that drops the last batch.
    """
    if not isinstance(train, LoaderRows):
        return options.batch_size, len(train)
    loader = train.loader
    is_sized = hasattr(loader.dataset, "__len__")
    if loader.batch_size is None or loader.drop_last or not is_sized:
        return 0, 0
    return int(loader.batch_size), len(train)
