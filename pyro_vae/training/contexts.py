"""What training does for the context of a model: its terms of the loss, and the units of e(c)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from pyro_vae.data import statistics
from pyro_vae.data.summary_statistics import Statistics
from pyro_vae.inputs import own_parts
from pyro_vae.networks.context import ContextFeatures
from pyro_vae.objectives import Objective
from pyro_vae.objectives.independent import Independent
from pyro_vae.objectives.labelled import Labelled
from pyro_vae.spec import Context
from pyro_vae.vae import VAE


def with_context_terms(context: Context | None, objective: Objective) -> Objective:
    """The objective with the terms that a context asks for, unless it has them."""
    if context is None or isinstance(objective, Labelled):
        return objective
    if context.independence:
        return Independent(inner=objective, weight=context.independence)
    label = context.label
    if label is None:
        return objective
    return Labelled(inner=objective, weight=label.weight, consistency=label.consistency)


def summary_of(vae: VAE, batches: Iterator[Tensor]) -> Statistics:
    """The statistics of the rows, and the contexts of those in the sample, the first batch."""
    first = next(batches)
    summary = statistics(own_parts(vae, chain([first], batches)))
    if vae.spec.context is None:
        return summary
    _, contexts = vae.model.split(first)
    return replace(summary, contexts=contexts)


def start_contexts(vae: VAE, batches: Iterator[Tensor]) -> None:
    """Give every e(c) of a model the moments of the contexts of its training rows."""
    context = vae.spec.context
    assert context is not None
    contexts = (vae.model.split(batch)[1] for batch in batches)
    summary = statistics(part for part in contexts if part is not None)
    if context.table is None and vae.spec.standardize != "feature":
        summary = _in_common_units(summary, vae.spec.standardize, context.dim or 0)
    mean = torch.stack(context.in_place([*summary.mean], summary.mean.new_zeros(())))
    std = torch.stack(context.in_place([*summary.std], summary.std.new_ones(())))
    for module in vae.modules():
        if isinstance(module, ContextFeatures):
            own = slice(len(module.levels))  # all of them, or all but the label
            module.start(mean[own], std[own])


def _in_common_units(summary: Statistics, mode: str, count: int) -> Statistics:
    """The moments by which the first `count` numbers are standardised, as the rows x are.

    With "all" one standard deviation for all: of pixels that are hardly ever on, their own would
    make numbers as large as 100. The label after them has no unit.
    """
    std = torch.ones_like(summary.std)
    if mode == "none":
        return replace(summary, mean=torch.zeros_like(std), std=std)
    std[:count] = summary.std[:count].square().mean().sqrt()
    return replace(summary, std=std)
