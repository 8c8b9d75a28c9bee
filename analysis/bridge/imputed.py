"""Completed tables, and the cells that were missing, as groups of a tree."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pyro_vae.analysis.bridge.arviz_objects import Array
from pyro_vae.analysis.bridge.coordinates import label_text, row_coordinate
from pyro_vae.analysis.bridge.row_layout import RowLayout
from pyro_vae.analysis.imputation.results import Imputation


class ImputedCells(NamedTuple):
    """The cells that were missing, and what each is called."""

    group: Mapping[str, Array]
    names: list[str]


def require_same_holes(imputation: Imputation, x: Array) -> None:
    """Raise ValueError where completed tables are of other rows than x.

    Arguments:
        imputation: completed tables.
        x: rows in the numbers of the model, nan where a cell is missing.
    """
    holes = np.isnan(imputation.holes.numbers)
    if holes.shape == x.shape and (holes == np.isnan(x)).all():
        return
    raise ValueError(
        f"imputation: expected completed tables of the same {len(x)} rows, with the same "
        f"{np.isnan(x).sum()} cells missing, got tables of {len(holes)} rows with {holes.sum()} "
        "missing; pass impute(vae, x) of the same x"
    )


def imputed_cells(imputation: Imputation, layout: RowLayout) -> ImputedCells:
    """Draws of each missing cell from p(x missing | x observed), (draw, cell), in its units."""
    cells = imputation.cells
    shape = imputation.holes.numbers.shape
    by_row = row_coordinate(layout.labels, shape[0])[cells.row]
    width = int(np.prod(shape[1:]))
    named = np.arange(width) if layout.names is None else np.array(layout.names, str)
    by_column = named[cells.column]
    values = cells.draws
    if layout.offsets is not None:
        values = values + layout.offsets[cells.column]
    group = {"value": values, "cell_row": by_row, "cell_column": by_column}
    pairs = zip(by_row, by_column, strict=True)
    return ImputedCells(group, [label_text(pair) for pair in pairs])
