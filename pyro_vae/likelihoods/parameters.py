"""Scales of a family: where they come from and where they start; and decoder outputs in parts."""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from pyro_vae.data import Statistics
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import Source

Scale = PositiveFloat | Literal["auto", "learned", "per_feature", "decoder"]


def resolved(scale: Scale, shape: Shape) -> Source:
    """What "auto" stands for: columns have units of their own, so each has its scale; the pixels of
    an image share one.

    Example:
        >>> resolved("auto", (13,)), resolved("auto", (28, 28)), resolved("learned", (13,))
        ('per_feature', 'learned', 'learned')
    """
    if scale != "auto":
        return scale
    return "per_feature" if len(shape) == 1 else "learned"


def spread(data: Statistics, robust: bool = False) -> Tensor:
    """The standard deviation of each feature; one that never varies is given the root mean square
    of the others.

    A `robust` one is that of most rows: 1.4826 median absolute deviations.
    """
    std = data.robust_std if robust else data.std
    varies = std > 0
    typical = std[varies].square().mean().sqrt() if varies.any() else 1.0
    return torch.where(varies, std, typical)


def stacked(heads: int, shape: Shape) -> Shape:
    """The shape of so many decoder outputs for each feature."""
    return shape if heads == 1 else (heads, *shape)


def unstacked(raw: Tensor, shape: Shape, stack: Shape) -> tuple[Tensor, ...]:
    """The outputs, each (..., *shape), of which `raw` (..., *stack) is made."""
    return (raw,) if len(stack) == len(shape) else raw.unbind(-len(stack))
