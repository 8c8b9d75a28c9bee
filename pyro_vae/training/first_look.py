"""What is tried before the first step, so that a mistake shows in seconds and in words."""

import copy

import pyro
import torch
from torch import Tensor

from pyro_vae.data import LoaderRows, Rows, binarized
from pyro_vae.distributed.process_group import world_size
from pyro_vae.networks import evaluating
from pyro_vae.rng import own_seed
from pyro_vae.training.options import FitOptions, beta_at
from pyro_vae.training.train_step import State
from pyro_vae.vae import VAE

EXTREME = 1e15
"""Numbers beyond which, or below whose inverse, squares leave float32."""


def require_trainable(vae: VAE) -> None:
    """Raise ValueError for weights that can't have a gradient."""
    if any(parameter.is_inference() for parameter in vae.parameters()):
        raise ValueError(
            "vae: expected weights that have gradients, got those of a model made inside "
            "torch.inference_mode(); make the model outside of it"
        )


def first_look(state: State, train: Rows, options: FitOptions) -> None:
    """Evaluate the objective once, with Pyro's validation on, and once as in training where the
    last batch is one row.

    Raises:
        ValueError: with Pyro's message; a loss that is not finite; a model that can't be trained on
            one row, and is going to be.
    """
    with pyro.validation_enabled(True), torch.no_grad(), evaluating(state.vae):
        batch = next(train.batches(16))
        rows = binarized(batch) if state.binarize else batch
        terms = state.objective(state.vae.model, state.vae.guide, rows, beta_at(options, 0))
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
    spread = batch.std(0).amax().item() if len(batch) > 1 else 1.0
    if size > EXTREME or 0 < spread < 1 / EXTREME:
        return (
            f"the rows have numbers up to {size:g}, with a standard deviation of {spread:g}, and "
            "their squares leave float32: divide each column by its spread, or compute in float64 "
            "(vae.double())"
        )
    return "so no learning rate helps: look at the prior, the likelihood and the guide that the model was given"


def _require_lone_row(state: State, row: Tensor, train: Rows, options: FitOptions) -> None:
    """Raise ValueError where an epoch has a batch of one row, and BatchNorm or the like fails on
    it.
    """
    size, count = _batches_of(train, options)
    if size == 0 or (count % size != 1 and size != 1):
        return
    trial = copy.deepcopy(state.vae).train()
    try:
        with torch.no_grad(), own_seed(0, row.device), pyro.validation_enabled(False):
            state.objective(trial.model, trial.guide, row, 1.0)
    except Exception as error:
        better = next(
            (number for number in range(size + 1, count + 1) if count % number != 1), None
        )
        remedy = (
            "take networks without BatchNorm" if better is None else f"take batch_size={better}"
        )
        raise ValueError(
            f"batch_size: {count} rows in batches of {size} end with a batch of one row, on which "
            f"the model can't be trained ({str(error).splitlines()[0]}); {remedy}"
        ) from error


def _batches_of(train: Rows, options: FitOptions) -> tuple[int, int]:
    """The size of a batch and the number of rows; zeros where a loader doesn't tell, or drops the
    last batch.
    """
    if not isinstance(train, LoaderRows):
        return options.batch_size, len(train)
    loader = train.loader
    known = (
        loader.batch_size is not None
        and not loader.drop_last
        and hasattr(loader.dataset, "__len__")
    )
    return (int(loader.batch_size or 0), len(train)) if known else (0, 0)
