"""Rows of columns of several kinds, and rows with missing cells, as source."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pyro_vae.likelihoods.observed_cells import MissingAtRandom
from pyro_vae.program.snippet import Snippet, refuse, tensor, unpacked

VECTORS = ("multinomial",)
"""Kinds whose cells depend on each other given z."""

Sources = Mapping[str, Callable[[Any], Snippet]]


def likelihood(family: Any, kind: str, sources: Sources) -> Snippet:
    """The source of p(x | z).

    Raises:
        ValueError: a kind whose density takes more than a few lines.
    """
    if kind == "mixed":
        return _mixed(family, sources)
    if kind not in sources:
        refuse("likelihood", repr(kind), "your p(x | z) into the method likelihood")
    return sources[kind](family)


def _mixed(family: Any, sources: Sources) -> Snippet:
    """The groups one after another, each with names of its own for its attributes."""
    outputs = unpacked([f"raw{index}" for index in range(len(family.sizes))])
    sizes = f"split({family.sizes}, -1)"
    start: list[str] = []
    lines = [f"{outputs} = self.decoder(z).{sizes}"]
    for index, (inner, kind) in enumerate(
        zip(family.families, family.kinds, strict=True)
    ):
        part = likelihood(inner, kind, sources)
        raw = f"raw{index}"
        if len(inner.param_shape) > 1:
            raw = f"raw{index}.unflatten(-1, {tuple(inner.param_shape)})"
        start += [_renamed(line, index) for line in part.start]
        *before, last = (
            _renamed(line, index).replace("self.decoder(z)", raw)
            for line in _bound(part.lines)
        )
        lines += [*before, re.sub("^return ", f"p{index} = ", last)]
    parts = ", ".join(f"p{index}" for index in range(len(family.sizes)))
    lines.append(f"columns = {family.columns}")
    lines.append(f"return Columns([{parts}], columns)")
    return Snippet(tuple(start), tuple(lines))


def _bound(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines with a function that keeps its numbers, since other groups have the same names."""
    head = "def counts(size):"
    if head not in lines:
        return lines
    body = lines[lines.index(head) + 1]
    names = ("mean", "gate", "dispersion", "make")
    given = [f"{name}={name}" for name in names if re.search(rf"\b{name}\b", body)]
    bound = f"def counts(size, {', '.join(given)}):"
    return tuple(bound if line == head else line for line in lines)


def _renamed(line: str, index: int) -> str:
    """A line with the attributes of a group in the place of those of the whole row."""
    return re.sub(r"\bx_", f"x{index}_", line)


def saved_groups(family: Any) -> dict[str, str]:
    """How the names of the groups begin, in a program and in saved weights."""
    return {
        f"x{index}_": f"model.likelihood.family.families.{index}."
        for index in range(len(getattr(family, "families", ())))
    }


def with_missing(made: Snippet, family: Any, kinds: list[str]) -> Snippet:
    """The source of p(x | z) for rows with missing cells.

    Arguments:
        made: that of complete rows.
        family: the likelihood's.
        kinds: of the family, or of its groups.
    """
    inner = getattr(family, "families", [family])
    if set(kinds) & {*VECTORS} or any(is_whole(each) for each in inner):
        refuse(
            "missing",
            "a likelihood of rows as a whole",
            "its density of the observed cells into the method likelihood",
        )
    *before, last = made.lines
    returned = last.removeprefix("return ")
    numbers = MissingAtRandom(family.data_shape, family.support).fill
    each = f"torch.tensor({numbers.tolist()})"
    if len(numbers.unique()) == 1:
        each = tensor(numbers.shape, float(numbers.flatten()[0]))
    fill = f'self.register_buffer("fill", {each})'
    lines = (*before, f"row = {returned}", "return Observed(row, self.fill)")
    return Snippet((*made.start, fill), lines)


def is_whole(family: Any) -> bool:
    """Whether a family's source is one distribution over all of its columns."""
    size = getattr(family, "size", None)
    options = (getattr(family, "correlation", None), getattr(family, "warp", None))
    has_size = size is not None and (size.is_column or size.is_total)
    return has_size or options != (None, None)


def masked(inputs: str, dims: int) -> tuple[str, ...]:
    """The lines of an encoder's features from rows with missing cells, and their mask.

    Arguments:
        inputs: the expression of the standardised rows.
        dims: dimensions of a row.
    """
    joined = f"torch.cat([filled, observed], {-dims})"
    if dims == 2:
        joined = "torch.stack([filled, observed], -3)"
    return (
        f"x = {inputs}",
        "filled, observed = torch.where(x.isnan(), 0.0, x), (~x.isnan()).to(x.dtype)",
        f"features = self.encoder({joined})",
    )
