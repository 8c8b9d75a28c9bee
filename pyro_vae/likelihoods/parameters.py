"""Positive parameters of a family: where they come from, and where they start."""

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.networks import Shape, positive

Source = PositiveFloat | Literal["learned", "per_feature", "decoder"]
Scale = PositiveFloat | Literal["auto", "learned", "per_feature", "decoder"]
RAW_OF_ONE = math.log(math.expm1(1 - 1e-4))


def factor(raw: Tensor) -> Tensor:
    """A smooth positive factor, 1 where `raw` is 0 and never below 1e-4: `positive`, moved.

    Example:
        >>> factor(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([1.0000e-04, 1.0000e+00, 1.0054e+02])
    """
    return positive(raw + RAW_OF_ONE)


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


def root_mean_square(x: Tensor) -> Tensor:
    """√(mean of x²) of positive numbers in any unit: their squares may be beyond the range of
    float32.

    Example:
        >>> root_mean_square(torch.tensor([3e30, 3e30]))
        tensor(3.0000e+30)
    """
    largest = x.max()
    return largest * (x / largest).square().mean().sqrt()


def stacked(heads: int, shape: Shape) -> Shape:
    """The shape of so many decoder outputs for each feature."""
    return shape if heads == 1 else (heads, *shape)


def unstacked(raw: Tensor, shape: Shape, stack: Shape) -> tuple[Tensor, ...]:
    """The outputs, each (..., *shape), of which `raw` (..., *stack) is made."""
    return (raw,) if len(stack) == len(shape) else raw.unbind(-len(stack))


class Positive(nn.Module):
    """A positive parameter of each feature, in units that the family gives.

    Arguments:
        source: a number, taken as it is; "learned": one factor of the units' root mean square, for
            all features; "per_feature": one factor each; "decoder": a factor from z. A factor
            starts at 1.
        shape: of the features.

    Attributes:
        heads: how many decoder outputs it takes for each feature, 0 or 1.

    Example:
        >>> Positive("per_feature", (2,))(torch.tensor([1.0, 5.0])).tolist()
        [1.0, 5.0]
    """

    def __init__(self, source: Source, shape: Shape) -> None:
        super().__init__()
        self.source, self.heads = source, int(source == "decoder")
        if source in {"learned", "per_feature"}:
            self.raw = nn.Parameter(torch.zeros(shape if source == "per_feature" else ()))

    def forward(self, unit: Tensor, *raw: Tensor) -> Tensor:
        if self.source == "decoder":
            return unit * factor(*raw)
        if self.source == "per_feature":
            return unit * factor(self.raw)
        if self.source == "learned":
            return root_mean_square(unit) * factor(self.raw)
        return torch.full_like(unit, float(self.source))

    def extra_repr(self) -> str:
        return repr(self.source)
