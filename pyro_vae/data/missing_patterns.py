"""Which cells of a table are missing together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyro_vae.data.names import shortened

if TYPE_CHECKING:
    from pyro_vae.data.tables import Table

MOST = 8


@dataclass(frozen=True)
class Pattern:
    """Rows that lack the same cells.

    Attributes:
        rows: how many.
        missing: the names of the columns.
    """

    rows: int
    missing: tuple[str, ...]


def missing_patterns(table: "Table") -> list[Pattern]:
    """The patterns of missing cells, the most frequent first.

    Example:
        >>> import pandas as pd
        >>> from pyro_vae.data import table
        >>> made = table(pd.DataFrame({"a": [0.5, 1.5, None], "b": [1.5, 2.5, 3.5]}))
        >>> missing_patterns(made)
        [Pattern(rows=2, missing=()), Pattern(rows=1, missing=('a',))]
    """
    missing = np.isnan(table.values)
    masks, counts = np.unique(missing, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        Pattern(
            int(counts[index]),
            tuple(np.array(table.names, object)[masks[index]].tolist()),
        )
        for index in order
    ]


def about_missing(table: "Table") -> str:
    """The number of missing cells, and the most frequent patterns; "" where none is missing.

    Example:
        >>> import pandas as pd
        >>> from pyro_vae.data import table
        >>> made = table(pd.DataFrame({"a": [0.5, 1.5, None], "b": [1.5, 2.5, 3.5]}))
        >>> print(about_missing(made))
        missing: 1 of 6 cells, in 1 of 3 rows; which cells are missing together
          rows  missing
          2     none
          1     'a'
    """
    missing = np.isnan(table.values)
    if not missing.any():
        return ""
    patterns = missing_patterns(table)
    rows = int(missing.any(1).sum())
    lines = [
        f"missing: {int(missing.sum())} of {missing.size} cells, in {rows} of {len(table)} rows; "
        "which cells are missing together",
        "  rows  missing",
    ]
    for pattern in patterns[:MOST]:
        names = shortened(pattern.missing) if pattern.missing else "none"
        lines.append(f"  {pattern.rows:<5} {names}")
    others = len(patterns) - MOST
    if others > 0:
        rest = sum(pattern.rows for pattern in patterns[MOST:])
        lines.append(f"  {rest:<5} in {others} other patterns")
    return "\n".join(lines)
