"""Pictures of results that have none of their own."""

import numpy as np

from pyro_vae.analysis.figures.column_checks import column_histogram
from pyro_vae.analysis.results.answer import Answer
from pyro_vae.plotting.layout import Layout, Panel, layout_of

MOST = 12
"""Columns that are drawn."""


@layout_of.register
def answer_layout(found: Answer) -> Layout:
    """A histogram for each column of numbers of `to_dataframe`."""
    columns = {name: np.asarray(each) for name, each in found.columns().items()}
    numbers = [name for name, each in columns.items() if _has_numbers(each)]
    if not numbers:
        raise ValueError(
            f"plot: expected a result with columns of numbers, got {type(found).__name__} with "
            f"{list(columns)}; see to_dataframe()"
        )
    return Layout([_panel(name, columns[name]) for name in numbers[:MOST]], across=4)


def _has_numbers(column: np.ndarray) -> bool:
    return column.dtype.kind in "iuf" and bool(np.isfinite(column).any())


def _panel(name: str, column: np.ndarray) -> Panel:
    return Panel(lambda axes: column_histogram(axes, column, name=name), 2.8, 2.3)
