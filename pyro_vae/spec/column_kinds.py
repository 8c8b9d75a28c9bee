"""The kinds of the columns of a table: which there are, and which values each of them can have."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.data.columns import NOT_MODELLED
from pyro_vae.data.supports import describe
from pyro_vae.explain import nearest
from pyro_vae.likelihoods import LIKELIHOODS, Family
from pyro_vae.likelihoods.mixed import Mixed

OF_SEVERAL_COLUMNS = ("mixed", "multinomial")
"""Likelihoods that no single column can have."""


def require_kinds(columns: Mapping[str, Any]) -> None:
    """Raise ValueError for a kind that no column can have, with the name of the column.

    Arguments:
        columns: by name the kind, or a table {"kind": ..., options}.

    Example:
        >>> require_kinds({"size": {"kind": "ordinal", "levels": ["S", "M"]}, "id": "label"})
    """
    for column, wish in columns.items():
        kind = wish.get("kind") if isinstance(wish, Mapping) else wish
        if kind in NOT_MODELLED or (
            kind in LIKELIHOODS and kind not in OF_SEVERAL_COLUMNS
        ):
            continue
        likelihoods = [one for one in LIKELIHOODS if one not in OF_SEVERAL_COLUMNS]
        allowed = nearest(str(kind), sorted([*likelihoods, *NOT_MODELLED]))
        raise ValueError(f"column {column!r}: unknown kind {kind!r}; {allowed}")


def checked_by_name(
    batches: Iterator[Tensor], likelihood: nn.Module, names: Sequence[str], source: str
) -> Iterator[Tensor]:
    """The same batches; values outside the support of their column are refused by its name.

    Missing cells, nan, pass: the next check knows whether they are allowed.

    Arguments:
        batches: of rows, (n, D).
        likelihood: of the model; that of a user passes everything.
        names: of the D columns.
        source: what messages call the data.

    Raises:
        ValueError: with the first value of such a column, its row and what to do; an infinite
            number.
    """
    groups = _groups(getattr(likelihood, "family", None), len(names))
    start = 0
    for batch in batches:
        if batch.isinf().any():
            row, position = (int(i) for i in batch.isinf().nonzero()[0])
            raise ValueError(
                f"{source}: column {names[position]!r}: expected finite numbers, got "
                f"{batch[row, position].item():g} in row {start + row}; drop such rows, or change "
                f"the unit of the column: {batch.dtype} ends at {torch.finfo(batch.dtype).max:.2g}"
            )
        for kind, family, columns in groups:
            values = batch[:, columns]
            inside = family.support.check(values)
            inside = inside.reshape(len(batch), -1).expand_as(values)
            outside = ~inside & torch.isfinite(values)
            if outside.any():
                row, position = (int(i) for i in outside.nonzero()[0])
                raise ValueError(
                    f"{source}: column {names[columns[position]]!r}: likelihood {kind!r} expects "
                    f"values in the support {describe(family.support)}, got "
                    f"{values[row, position].item():g} in row {start + row}; {family.remedy}"
                )
        start += len(batch)
        yield batch


def _groups(family: Any, count: int) -> list[tuple[str, Any, list[int]]]:
    """Each kind with its family and its columns."""
    if isinstance(family, Mixed):
        pairs = zip(family.columns, family.families, strict=True)
        return [(_kind_of(part), part, columns) for columns, part in pairs]
    if not isinstance(family, Family) or not hasattr(family, "support"):
        return []
    return [(_kind_of(family), family, list(range(count)))]


def _kind_of(family: Any) -> str:
    kinds = [kind for kind, one in LIKELIHOODS.items() if one is type(family)]
    return kinds[0] if kinds else type(family).__name__
