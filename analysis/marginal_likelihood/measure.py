"""What a log p(x) is the logarithm of: a density or a probability, of which numbers of a row, and
given what.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.constraints import ordered_vector, positive_ordered_vector
from torch.distributions import TransformedDistribution, constraints

from pyro_vae.analysis.fitted import evaluation
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods import Family, Mixed, Multinomial
from pyro_vae.likelihoods.mixed import ranges
from pyro_vae.likelihoods.size_factor import RowSize
from pyro_vae.vae import VAE

__all__ = ["Measure", "measure_of"]

FULL = (ordered_vector, positive_ordered_vector)
"""Supports over vectors that have a volume; a correlation matrix or a point on a sphere has none.
"""


@dataclass(frozen=True)
class Measure:
    """The reference measure of log p(x): Lebesgue's for a density, counting for a mass; and what is
    conditioned on.

    p(x) = dP / dμ, so two models of the same rows have comparable log p(x) only where μ and the
    condition are the same: measures that are equal. The supports may differ: bits under a Bernoulli
    and under a Poisson compare.

    Attributes:
        density: the columns that p(x) is a density of, as ranges: "0:3, 5"; of a row of several
            dimensions, the positions in the flattened row. A density has the inverse of the data's
            units.
        mass: the columns that it is the probability of: a pure number.
        given: what it is conditioned on, in words: "the total of each row", "column 3"; empty where
            nothing is.
    """

    density: str = ""
    mass: str = ""
    given: str = ""

    @property
    def kind(self) -> str:
        """ "density", "mass", or "density and mass" where a row has columns of both."""
        return " and ".join(name for name in ("density", "mass") if getattr(self, name))

    @property
    def size(self) -> int:
        """How many numbers of a row are modelled; what is conditioned on doesn't count.

        Example:
            >>> Measure(density="0:3, 5", mass="4").size
            5
        """
        return sum(
            _length(run) for runs in (self.density, self.mass) if runs for run in runs.split(", ")
        )

    def __str__(self) -> str:
        parts = [
            f"{name} of columns {getattr(self, name)}"
            for name in ("density", "mass")
            if getattr(self, name)
        ]
        return " and ".join(parts) + (f", given {self.given}" if self.given else "")


def _length(run: str) -> int:
    first, _, end = run.partition(":")
    return int(end) - int(first) if end else 1


def measure_of(vae: VAE) -> Measure | None:
    """What a model's log p(x) is: its likelihood's reference measure and conditions.

    Arguments:
        vae: a model, fitted or not.

    Returns:
        The `Measure`; None where a likelihood of the user's own doesn't tell: it has no `support`,
        or one that is neither discrete nor of full dimension.

    Example:
        >>> str(measure_of(VAE(data_shape=(3,), latent_dim=1, likelihood="multinomial")))
        'mass of columns 0:3, given the total of each row'
        >>> measure_of(VAE(data_shape=(3,), latent_dim=1, likelihood="normal")).kind
        'density'
    """
    columns = range(math.prod(vae.spec.data_shape))
    family = getattr(vae.likelihood, "family", None)
    parts = list(
        _of_family(family, columns) if isinstance(family, Family) else _of_own(vae, columns)
    )
    if any(part.kind is None for part in parts):
        return None
    return Measure(
        density=_ranges(parts, "density"),
        mass=_ranges(parts, "mass"),
        given=" and ".join(_given(parts, columns)),
    )


@dataclass(frozen=True)
class _Part:
    """Some columns: of kind "density", "mass", "column" (conditioned on), "total" (its sum is), or
    unknown.
    """

    kind: str | None
    columns: Sequence[int]


def _ranges(parts: Iterable[_Part], kind: str) -> str:
    return ranges(sorted(column for part in parts if part.kind == kind for column in part.columns))


def _given(parts: Iterable[_Part], whole: Sequence[int]) -> Iterator[str]:
    for part in sorted(parts, key=lambda part: sorted(part.columns)):
        if part.kind == "column":
            yield f"column {ranges(part.columns)}"
        elif part.kind == "total" and len(part.columns) == len(whole):
            yield "the total of each row"
        elif part.kind == "total":
            yield f"the total of columns {ranges(sorted(part.columns))}"


def _of_family(family: Family, columns: Sequence[int]) -> Iterator[_Part]:
    """The parts of a registered likelihood over these columns."""
    if isinstance(family, Mixed):
        for inner, group in zip(family.families, family.columns, strict=True):
            yield from _of_family(cast(Family, inner), [columns[column] for column in group])
        return
    size = getattr(family, "size", None)
    if isinstance(size, RowSize) and size.is_column:
        *columns, last = columns
        yield _Part("column", [last])
    if isinstance(family, Multinomial):
        yield _Part("total", columns)
    yield from _of_support(family.support, columns)


def _of_own(vae: VAE, columns: Sequence[int]) -> Iterator[_Part]:
    """The parts of a likelihood of the user's own, from the support that it names or the
    distribution that it gives.
    """
    named = getattr(getattr(vae.likelihood, "family", None), "support", None)
    if named is not None:
        yield from _of_support(named, columns)
        return
    placement = placement_of(vae)
    with evaluation(vae):
        z = torch.zeros((1, vae.spec.latent_dim), dtype=placement.dtype, device=placement.device)
        row: Any = vae.likelihood(z)
    yield from _of_support(_support(row), columns)


def _support(row: Any) -> Any:
    """The support of a distribution; None where it doesn't say what kind of measure its density
    refers to.
    """
    try:
        support = row.support
    except NotImplementedError:
        return None
    while (base := getattr(row, "base_dist", None)) is not None:
        inside = _support(base)
        has_atom = isinstance(row, dist.ZeroInflatedDistribution) and not getattr(
            inside, "is_discrete", False
        )
        is_mapped = isinstance(row, TransformedDistribution) and getattr(
            inside, "is_discrete", True
        )
        if inside is None or has_atom or is_mapped:
            return None
        row = base
    return None if isinstance(row, dist.Delta) else support


def _of_support(support: Any, columns: Sequence[int]) -> Iterator[_Part]:
    """The parts of a support over these columns."""
    while hasattr(support, "base_constraint"):  # of independent numbers, of a mixture
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
    except (
        AttributeError,
        NotImplementedError,
    ):  # no support, or one that depends on what isn't known
        return None
    is_full = support.event_dim == 0 or type(support) in {type(whole) for whole in FULL}
    return "density" if is_full else None
