"""What log p(x) is the logarithm of: a density or a probability, of which columns, given what."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import pyro.distributions as dist
import torch
from pyro.distributions.constraints import ordered_vector, positive_ordered_vector
from torch.distributions import TransformedDistribution, constraints

from pyro_vae.analysis.fitted import evaluation, label_of
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods import Family, Mixed, Multinomial
from pyro_vae.likelihoods.column_ranges import ranges
from pyro_vae.likelihoods.size_factor import RowSize
from pyro_vae.vae import VAE

__all__ = ["Measure", "measure_of"]

CONTEXT = "the context of each row"
SYMBOLS = {"": "x", "where known": "x, known y", "known": "x, y"}
"""What the probability is of, by which rows have their label."""

FULL = (ordered_vector, positive_ordered_vector)
"""Supports over vectors with a volume; a correlation matrix or a point on a sphere has none."""


@dataclass(frozen=True)
class Measure:
    """The reference measure of log p(x), and what is conditioned on.

    It is the Lebesgue measure for a density, and the counting measure for a mass. As p(x) is
    dP / dμ, two models of the same rows have comparable log p(x) only where μ and the condition are
    the same: measures that are equal. The supports may differ: bits under a Bernoulli and under a
    Poisson are comparable.

    Attributes:
        density: the columns that p(x) is a density of, as ranges: "0:3, 5"; of a row with several
            dimensions, the indices in the flattened row. A density has the inverse of the data's
            units.
        mass: the columns that it is the probability of: a pure number.
        given: what it is conditioned on, in words: "the total of each row", "column 3"; empty where
            nothing is.
        mask: whether it is the probability of the mask too: of which cells are observed.
        label: whether it is the probability of the label too: "known" where all rows have theirs,
            "where known" where some have; empty where it is summed out, or there is none.
    """

    density: str = ""
    mass: str = ""
    given: str = ""
    mask: bool = False
    label: Literal["", "where known", "known"] = ""

    @property
    def kind(self) -> str:
        """ "density", "mass", or "density and mass" where a row has columns of both."""
        return " and ".join(name for name in ("density", "mass") if getattr(self, name))

    @property
    def symbol(self) -> str:
        """ "log p(x)", "log p(x | c)" where rows have a context, "log p(x, y)" with a label."""
        given = " | c" if CONTEXT in self.given else ""
        return f"log p({SYMBOLS[self.label]}{given})"

    @property
    def given_in_rows(self) -> str:
        """What of the rows themselves it is conditioned on: `given` without the context.

        Example:
            >>> Measure(given="column 3 and the context of each row (age)").given_in_rows
            'column 3'
        """
        return self.given.partition(CONTEXT)[0].removesuffix(" and ")

    @property
    def size(self) -> int:
        """How many numbers of a row are modelled; what is conditioned on doesn't count.

        Example:
            >>> Measure(density="0:3, 5", mass="4").size
            5
        """
        return len(self.columns("density")) + len(self.columns("mass"))

    def columns(self, kind: str) -> list[int]:
        """The columns of the kind "density" or "mass".

        Example:
            >>> Measure(density="0:3, 5", mass="4").columns("density")
            [0, 1, 2, 5]
        """
        text = getattr(self, kind)
        runs = text.split(", ") if text else []
        return [column for run in runs for column in _numbers(run)]

    def __str__(self) -> str:
        columns = {"density": self.density, "mass": self.mass}
        parts = [f"{name} of columns {text}" for name, text in columns.items() if text]
        if self.mask:
            parts.append("mass of the mask of observed cells")
        if self.label:
            parts.append(
                f"mass of the label {self.label.removeprefix('known')}".rstrip()
            )
        text = " and ".join(parts)
        return f"{text}, given {self.given}" if self.given else text


def _numbers(run: str) -> range:
    """The columns of one range: "0:3" or "5"."""
    first, _, end = run.partition(":")
    return range(int(first), int(end or int(first) + 1))


def measure_of(vae: VAE) -> Measure | None:
    """What a model's log p(x) is: its likelihood's reference measure and conditions.

    Arguments:
        vae: a model, fitted or not.

    Returns:
        The `Measure`; None where it is not known, since a user's own likelihood has no `support`,
        or one that is neither discrete nor of full dimension.

    Example:
        >>> str(measure_of(VAE(data_shape=(3,), latent_dim=1, likelihood="multinomial")))
        'mass of columns 0:3, given the total of each row'
        >>> measure_of(VAE(data_shape=(3,), latent_dim=1, likelihood="normal")).kind
        'density'
    """
    columns = range(math.prod(vae.spec.data_shape))
    family = getattr(vae.likelihood, "family", None)
    if isinstance(family, Family):
        parts = list(_of_family(family, columns))
    else:
        parts = list(_of_own(vae, columns))
    if any(part.kind is None for part in parts):
        return None
    return Measure(
        density=_ranges(parts, "density"),
        mass=_ranges(parts, "mass"),
        given=" and ".join([*_given(parts, columns), *_context(vae)]),
        mask=vae.spec.self_masking is not None,
        label="where known" if label_of(vae) is not None else "",
    )


@dataclass(frozen=True)
class _Part:
    """Some columns of one kind.

    Attributes:
        kind: "density"; "mass"; "column", which is conditioned on; "total", whose sum is
            conditioned on; None where it is not known.
        columns: their indices.
    """

    kind: str | None
    columns: Sequence[int]


def _ranges(parts: Iterable[_Part], kind: str) -> str:
    columns = [column for part in parts if part.kind == kind for column in part.columns]
    return ranges(sorted(columns))


def _given(parts: Iterable[_Part], whole: Sequence[int]) -> Iterator[str]:
    for part in sorted(parts, key=lambda part: sorted(part.columns)):
        if part.kind == "column":
            yield f"column {ranges(part.columns)}"
        elif part.kind == "total" and len(part.columns) == len(whole):
            yield "the total of each row"
        elif part.kind == "total":
            yield f"the total of columns {ranges(sorted(part.columns))}"


def _context(vae: VAE) -> list[str]:
    """What p(x | c) is given besides numbers of x."""
    context = vae.spec.context
    if context is None or (context.label is not None and context.size == 1):
        return []
    if context.table is None:
        return [CONTEXT]
    names = context.table.names
    if context.label is not None:
        names = names[:-1]
    return [f"{CONTEXT} ({', '.join(names)})"]


def _of_family(family: Family, columns: Sequence[int]) -> Iterator[_Part]:
    """The parts of a registered likelihood over these columns."""
    if isinstance(family, Mixed):
        for inner, group in zip(family.families, family.columns, strict=True):
            yield from _of_family(
                cast(Family, inner), [columns[column] for column in group]
            )
        return
    size = getattr(family, "size", None)
    if isinstance(size, RowSize) and size.is_column:
        *columns, last = columns
        yield _Part("column", [last])
    has_total = isinstance(size, RowSize) and size.is_total
    if isinstance(family, Multinomial) or has_total:
        yield _Part("total", columns)
    yield from _of_support(family.support, columns)


def _of_own(vae: VAE, columns: Sequence[int]) -> Iterator[_Part]:
    """The parts of a likelihood of the user's own, from the distribution that it gives."""
    placement = placement_of(vae)
    shape = (1, vae.spec.decoder_inputs)
    with evaluation(vae):
        z = torch.zeros(shape, dtype=placement.dtype, device=placement.device)
        row: Any = vae.likelihood(z)
    yield from _of_support(_support(row), columns)


def _support(row: Any) -> Any:
    """The support of a distribution; None where that doesn't determine the reference measure."""
    try:
        support = row.support
    except NotImplementedError:
        return None
    while (base := getattr(row, "base_dist", None)) is not None:
        inside = _support(base)
        is_inflated = isinstance(row, dist.ZeroInflatedDistribution)
        has_atom = is_inflated and not getattr(inside, "is_discrete", False)
        is_transformed = isinstance(row, TransformedDistribution)
        is_mapped = is_transformed and getattr(inside, "is_discrete", True)
        if inside is None or has_atom or is_mapped:
            return None
        row = base
    return None if isinstance(row, dist.Delta) else support


def _of_support(support: Any, columns: Sequence[int]) -> Iterator[_Part]:
    """The parts of a support over these columns."""
    # of independent numbers, or of a mixture
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if isinstance(support, constraints.cat | constraints.stack):
        lengths = getattr(support, "lengths", [1] * len(support.cseq))
        if sum(lengths) != len(columns):
            yield _Part(None, columns)
            return
        first = 0
        for inner, length in zip(support.cseq, lengths, strict=True):
            yield from _of_support(inner, columns[first : first + length])
            first += length
    elif isinstance(support, type(constraints.simplex)):
        yield _Part("total", columns)
        yield _Part("density", columns)
    else:
        yield _Part(_kind(support), columns)


def _kind(support: Any) -> str | None:
    try:
        if support.is_discrete:
            return "mass"
    except (AttributeError, NotImplementedError):
        # no support, or one that depends on what isn't known
        return None
    is_full = support.event_dim == 0 or type(support) in {type(whole) for whole in FULL}
    return "density" if is_full else None
