"""The source of one part of a model: statements of a constructor, and the lines of a method."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import (
    RAW_OF_ONE,
    Positive,
    PositiveTensor,
    raw_of,
)

STANDARD_NORMAL = "dist.Normal(self.zeros, torch.ones_like(self.zeros)).to_event(1)"
"""The expression of N(0, I), where `zeros` makes the buffer."""


@dataclass(frozen=True)
class Snippet:
    """The source of one part.

    Attributes:
        start: statements of `__init__` that make its buffers and parameters.
        lines: of its method, the last of which returns a distribution.
    """

    start: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Value:
    """A positive number in the source: how it starts, and its expression."""

    start: tuple[str, ...]
    expression: str


def tensor(shape: Iterable[int], value: float = 0.0) -> str:
    """The expression of a tensor of one number.

    Example:
        >>> tensor((3,)), tensor((), 1.0), tensor((2, 3), 0.5)
        ('torch.zeros(3)', 'torch.ones(())', 'torch.full((2, 3), 0.5)')
    """
    sizes = tuple(shape)
    if value not in (0, 1):
        return f"torch.full({sizes}, {value!r})"
    name = "ones" if value else "zeros"
    return f"torch.{name}({sizes[0] if len(sizes) == 1 else sizes})"


def buffer(name: str, shape: Iterable[int], value: float = 0.0) -> str:
    """The statement that makes a buffer of one number."""
    return f'self.register_buffer("{name}", {tensor(shape, value)})'


def zeros(size: int) -> str:
    """The statement that makes the buffer `zeros` of a prior, which saved weights don't have."""
    return f'self.register_buffer("zeros", {tensor((size,))}, persistent=False)'


def unpacked(names: Sequence[str]) -> str:
    """The left side of an assignment that takes as many values apart.

    Example:
        >>> unpacked(["loc"]), unpacked(["loc", "scale"])
        ('(loc,)', 'loc, scale')
    """
    return f"({names[0]},)" if len(names) == 1 else ", ".join(names)


def raw(name: str, shape: Iterable[int], value: float = 0.0) -> str:
    """The statement that makes a parameter `name.raw`, as it is called in saved weights."""
    return f'self.{name} = nn.ParameterDict({{"raw": {tensor(shape, value)}}})'


def positive(expression: str, floor: float = 1e-4) -> str:
    """A smooth map onto the numbers above a floor.

    Example:
        >>> positive("raw")
        '0.0001 + softplus(raw)'
    """
    return f"{floor!r} + softplus({expression})"


def factor(expression: str) -> str:
    """A positive factor, 1 where the expression is 0; the helper of that name."""
    return f"factor({expression})"


def value_of(
    source: Positive, name: str, unit: str, shape: Shape, output: str = ""
) -> Value:
    """A positive parameter of each feature, in a unit.

    Arguments:
        source: the module.
        name: of its attribute.
        unit: the expression of the unit.
        shape: of the features.
        output: the name of the decoder's output, where it comes from there.
    """
    if source.source == "decoder":
        return Value((), f"{unit} * {_shifted(output, source.raw_of_one)}")
    if source.source not in {"learned", "per_feature"}:
        return Value((), f"torch.full_like({unit}, {float(source.source)!r})")
    started = source.raw_of_one - source.shift
    own = _shifted(f"self.{name}.raw", source.shift)
    if source.source == "per_feature":
        return Value((raw(name, shape, started),), f"{unit} * {own}")
    return Value((raw(name, (), started),), f"root_mean_square({unit}) * {own}")


def _shifted(expression: str, shift: float) -> str:
    """A positive number that is 1 where the expression is `RAW_OF_ONE` less the shift."""
    if shift == RAW_OF_ONE:
        return factor(expression)
    shifted = f"{expression} + {shift!r}" if shift else expression
    return f"({positive(shifted)})"


def tensor_of(source: PositiveTensor, name: str, shape: Iterable[int]) -> Value:
    """A tensor of positive numbers that no unit has, fixed or learned."""
    if not isinstance(source.value, str):
        return Value((), repr(source.value))
    start = raw_of(source.start, source.floor)
    return Value((raw(name, shape, start),), positive(f"self.{name}.raw", source.floor))


def refuse(part: str, what: str, paste: str) -> NoReturn:
    """Raise ValueError for a part that has no source here, with what to paste where.

    Arguments:
        part: the field of the description.
        what: its value, in words.
        paste: what to paste, and where.
    """
    raise ValueError(
        f"program: {part}: expected a kind that can be written in a few lines, got {what}; take "
        f"another, write the program of it and paste {paste}"
    )
