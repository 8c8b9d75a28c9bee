"""Tables of many numbers of one type, such as pixels or genes: one kind for all columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_vae.data.frames import cells_of
from pyro_vae.data.kinds import Decision, is_label
from pyro_vae.data.natural_likelihood import Facts, natural_of

WIDE = 50
"""Tables with more columns of numbers are one kind as a whole."""
AS_ALL = "as all"
"""How the reason begins for columns that have the kind of the whole table."""


def kind_of_all(
    data: Any, chosen: Sequence[str], asked: Mapping[str, Any]
) -> Decision | None:
    """One kind for all columns of numbers in a wide table; None for other tables."""
    free = [column for column in chosen if column not in asked]
    numeric = [column for column in free if data[column].dtype.is_numeric()]
    if len(numeric) <= WIDE:
        return None
    dtypes = {data[column].dtype for column in numeric}
    if len(dtypes) > 1 and not all(dtype.is_integer() for dtype in dtypes):
        return None
    columns = [cells_of(data[column]) for column in numeric]
    positions = [chosen.index(column) for column in numeric]
    values = [
        cells.values
        for cells, position in zip(columns, positions, strict=True)
        if not is_label(cells, position)
    ]
    natural = natural_of(_facts_of_columns(values))
    return Decision(
        natural.likelihood, f"{AS_ALL} {len(values)} columns: {natural.why}"
    )


def _facts_of_columns(columns: Sequence[np.ndarray]) -> Facts:
    """What the rows of a table are like; a thousand of them at a time."""
    facts = Facts()
    for start in range(0, len(columns[0]), 1000):
        facts.add(np.stack([column[start : start + 1000] for column in columns], 1))
    return facts
