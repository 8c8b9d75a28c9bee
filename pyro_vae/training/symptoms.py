"""What a training that ended well may have gone wrong in, each in a sentence with its number."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.likelihoods.mixed import Mixed
from pyro_vae.networks import evaluating
from pyro_vae.networks.positive_numbers import FLOOR, Positive
from pyro_vae.rng import own_seed
from pyro_vae.training.epoch import Training
from pyro_vae.training.run import Run

UNUSED = 0.01
"""Nats per row of KL to the prior below which z says nothing of a row."""
UNMOVED = 1e-5
"""Relative change of a loss that is none; validation has the same noise in each epoch."""
FEWEST_EPOCHS = 3
NEAR = 10
"""Times the floor below which a scale is at it: it comes nearer by smaller and smaller steps."""
ROWS = 256
"""Rows whose scales are looked at."""
SHOWN = 5


def symptoms(training: Training) -> Iterator[str]:
    """Sentences on a loss that never moved, a z that isn't used, and scales at their floor.

    Arguments:
        training: one that has ended, with the best weights in place.
    """
    run = training.run
    if run.interrupted or not run.best_epoch:
        return
    for sentence in (_unmoved(run), _unused(run), _at_floor(training)):
        if sentence:
            yield sentence


def _unmoved(run: Run) -> str:
    """Whether all epochs have the same loss."""
    name = "val_loss" if "val_loss" in run.history[0] else "loss"
    losses = [row[name] for row in run.history]
    change = max(losses) - min(losses)
    if len(losses) < FEWEST_EPOCHS or change > UNMOVED * max(1.0, abs(losses[0])):
        return ""
    return (
        f"the {run.elbo_of} loss has moved by {change:.1g} nats in {len(losses)} epochs, from "
        f"{losses[0]:.6g}: raise lr (now {run.options.lr:g}), and look whether the weights have "
        "gradients (requires_grad) and the networks depend on their input"
    )


def _unused(run: Run) -> str:
    """Whether the posterior of every row is the prior."""
    spec = run.vae.spec
    rate = run.rate
    if rate is None or spec.guide.kind == "delta" or abs(rate) > UNUSED:
        return ""
    options = run.options
    return (
        f"the rate KL(q ‖ p), {rate:.2g} nats per row, says that z is not used (posterior "
        f"collapse): raise kl_warmup_epochs (now {options.kl_warmup_epochs}), lower beta (now "
        f"{options.beta:g}), or take free bits (objective={{'kind': 'elbo', 'free_bits': 0.5}}); "
        "where columns are independent of each other there is nothing to use it for"
    )


def _at_floor(training: Training) -> str:
    """Whether a scale of the likelihood is as small as it can be, in most rows."""
    vae = training.run.vae
    low: set[int] = set()
    of_decoder = False
    with torch.no_grad(), ExitStack() as hooks:
        for family, columns in _families(vae.likelihood):
            note = partial(_note, low, columns)
            if family.scale.source == "decoder":
                of_decoder = True
                hooks.enter_context(family.scale.register_forward_hook(note))
            else:
                unit = next(vae.parameters()).new_ones(family.data_shape)
                note(family.scale, (unit,), unit)
        if of_decoder:
            _decode(training)
    if not low:
        return ""
    table = vae.spec.table
    names = [
        str(one) if table is None else repr(table.names[one]) for one in sorted(low)
    ]
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(low) > SHOWN else "")
    return (
        f"the scale of {len(low)} of {math.prod(vae.spec.data_shape)} columns is at its floor, "
        f"below {NEAR * FLOOR:g} of their spread: {shown}; such columns are constant, copies or "
        "exact functions of others, and log p(x) is as high as the floor allows: leave them out, "
        "or take a fixed scale (likelihood={'kind': 'normal', 'scale': 0.1})"
    )


def _note(
    low: set[int],
    columns: list[int] | None,
    scale: nn.Module,
    inputs: tuple[Tensor, ...],
    _: Tensor,
) -> None:
    """Add the columns whose scale is at its floor in most rows, as a hook of that scale."""
    unit, *raw = inputs
    ones = torch.ones_like(unit)
    factors = scale.forward(ones, *raw) * ones
    is_low = (factors.reshape(-1, ones.numel()) < NEAR * FLOOR).double().mean(0) > 0.5
    for position in is_low.nonzero().flatten().tolist():
        low.add(position if columns is None else columns[position])


def _families(likelihood: Any) -> Iterator[tuple[Any, list[int] | None]]:
    """The densities whose scale is learned, and the columns of each; None for all.

    A mass, such as that of a discretised logistic, is at most 1, however small the scale.
    """
    family = getattr(likelihood, "family", None)
    groups: list[tuple[Any, list[int] | None]] = [(family, None)]
    if isinstance(family, Mixed):
        groups = [*zip(family.families, family.columns, strict=True)]
    for one, columns in groups:
        scale = getattr(one, "scale", None)
        is_learned = isinstance(scale, Positive) and isinstance(scale.source, str)
        if is_learned and not one.support.is_discrete:
            yield one, columns


def _decode(training: Training) -> None:
    """Call the likelihood for draws of z of some training rows."""
    vae = training.run.vae
    batch = next(training.data.train.batches(ROWS))
    with torch.no_grad(), evaluating(vae), own_seed(0, batch.device):
        vae.likelihood(vae.posterior(batch).sample())
