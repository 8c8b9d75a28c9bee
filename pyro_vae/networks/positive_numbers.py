"""Positive numbers from numbers of any sign: fixed, learned, or given by a decoder."""

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_vae.networks.base import Shape

FLOOR = 1e-4
Source = PositiveFloat | Literal["learned", "per_feature", "decoder"]


def positive(raw: Tensor, floor: float = FLOOR) -> Tensor:
    """A smooth map onto the numbers above `floor`: floor + log(1 + exp(raw)).

    Example:
        >>> positive(torch.tensor(-100.0))
        tensor(1.0000e-04)
    """
    return floor + softplus(raw)


def raw_of(value: float, floor: float = FLOOR) -> float:
    """The number that `positive` maps to `value`: log(exp(value - floor) - 1).

    Example:
        >>> positive(torch.tensor(raw_of(2.5)))
        tensor(2.5000)
    """
    return math.log(math.expm1(value - floor))


RAW_OF_ONE = raw_of(1.0)


def factor(raw: Tensor) -> Tensor:
    """A smooth positive factor, 1 where `raw` is 0 and never below 1e-4: `positive`, shifted.

    Example:
        >>> factor(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([1.0000e-04, 1.0000e+00, 1.0054e+02])
    """
    return positive(raw + RAW_OF_ONE)


def root_mean_square(x: Tensor) -> Tensor:
    """√(mean of x²) of positive numbers in any unit, also where x² overflows float32.

    Example:
        >>> root_mean_square(torch.tensor([3e30, 3e30]))
        tensor(3.0000e+30)
    """
    largest = x.max()
    return largest * (x / largest).square().mean().sqrt()


class PositiveTensor(nn.Module):
    """A tensor of positive numbers, fixed or learned: calling the module gives it.

    Arguments:
        shape: of the tensor.
        value: one number for all of it, or "learned".
        start: where learned numbers start.
        floor: learned numbers stay above it.

    Example:
        >>> PositiveTensor((2,), 0.5)(), PositiveTensor((2,), "learned", start=0.5)()
        (tensor([0.5000, 0.5000]), tensor([0.5000, 0.5000], grad_fn=<AddBackward0>))
    """

    one: Tensor

    def __init__(
        self,
        shape: Shape,
        value: float | Literal["learned"],
        *,
        start: float = 1.0,
        floor: float = FLOOR,
    ) -> None:
        super().__init__()
        self.value = value
        self.start = start
        self.floor = floor
        if isinstance(value, str):
            self.raw = nn.Parameter(torch.full(shape, raw_of(start, floor)))
        else:
            # a buffer, so that the numbers move with the model to a device and a dtype
            self.register_buffer("one", torch.ones(shape), persistent=False)

    def forward(self) -> Tensor:
        if isinstance(self.value, str):
            return positive(self.raw, self.floor)
        return self.value * self.one

    def extra_repr(self) -> str:
        return f"{self.value!r}"


class Positive(nn.Module):
    """A positive parameter of each feature, in units that the family gives.

    Arguments:
        source: a number, taken as it is; "learned": one factor of the units' root mean square, for
            all features; "per_feature": one factor each; "decoder": a factor from z. A factor
            starts at 1.
        shape: of the features.
        raw_of_one: the raw number of a factor of 1.
        start: where the learned parameter itself starts, which is what a weight decay pulls to 0.

    Attributes:
        heads: decoder outputs for each feature, 0 or 1.

    Example:
        >>> Positive("per_feature", (2,))(torch.tensor([1.0, 5.0])).tolist()
        [1.0, 5.0]
    """

    def __init__(
        self,
        source: Source,
        shape: Shape,
        *,
        raw_of_one: float = RAW_OF_ONE,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        self.source = source
        self.heads = int(source == "decoder")
        self.raw_of_one = raw_of_one
        self.shift = raw_of_one - start
        if source == "learned":
            self.raw = nn.Parameter(torch.full((), start))
        elif source == "per_feature":
            self.raw = nn.Parameter(torch.full(shape, start))

    def forward(self, unit: Tensor, *raw: Tensor) -> Tensor:
        if self.source == "decoder":
            (output,) = raw
            return unit * positive(output + self.raw_of_one)
        if self.source == "per_feature":
            return unit * positive(self.raw + self.shift)
        if self.source == "learned":
            return root_mean_square(unit) * positive(self.raw + self.shift)
        return torch.full_like(unit, float(self.source))

    def extra_repr(self) -> str:
        return repr(self.source)
