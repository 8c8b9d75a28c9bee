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
    """What "auto" stands for: a scale for each column of a table, one for all pixels of an image.

    Example:
        >>> resolved("auto", (13,)), resolved("auto", (28, 28)), resolved("learned", (13,))
        ('per_feature', 'learned', 'learned')
    """
    if scale != "auto":
        return scale
    # columns have units of their own; pixels share one
    if len(shape) == 1:
        return "per_feature"
    return "learned"


def spread(data: Statistics, robust: bool = False) -> Tensor:
    """The standard deviation of each feature; of a constant one the root mean square of the others.

    A `robust` one is that of most rows: 1.4826 median absolute deviations.
    """
    std = data.robust_std if robust else data.std
    varies = std > 0
    if not varies.any():
        return torch.ones_like(std)
    typical = std[varies].square().mean().sqrt()
    return torch.where(varies, std, typical)


def stacked(heads: int, shape: Shape) -> Shape:
    """The shape of so many decoder outputs for each feature."""
    if heads == 1:
        return shape
    return (heads, *shape)


def unstacked(
    raw: Tensor,
    shape: Shape,
    stack: Shape,
) -> tuple[Tensor, ...]:
    """The outputs, each (..., *shape), of which `raw` (..., *stack) is made."""
    if len(stack) == len(shape):
        return (raw,)
    return raw.unbind(-len(stack))
