"""Pictures of rows that a model draws, alone or beside those of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_vae.analysis import Samples
from pyro_vae.analysis.figures.column_checks import (
    column_check,
    column_histogram,
    columns_of,
    has_known,
    nothing_known,
)
from pyro_vae.analysis.figures.decoded_grids import picture_grid
from pyro_vae.analysis.figures.pairs import pair_cell
from pyro_vae.analysis.figures.pixel_checks import pixel_check
from pyro_vae.data.frames import cells_of, opened
from pyro_vae.figure_style import dense, legend_above
from pyro_vae.plotting.layout import Layout, Panel, layout_of, picture_shape

MOST_COLUMNS = 12
MOST_PAIRS = 5
PICTURES = 40
Columns = Mapping[str, np.ndarray]


@layout_of.register
def samples_layout(
    found: Samples,
    *,
    data: Any = None,
    names: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
    pairs: bool = False,
) -> Layout:
    """Drawn rows as pictures or histograms; with `data`, checks of each column or pixel."""
    shape = None if names is not None else picture_shape(found.x.shape[1:], image_shape)
    data = None if data is None else dense(data)
    if data is not None and np.shape(data)[1:] != found.x.shape[1:]:
        raise ValueError(
            f"data: expected rows of shape {found.x.shape[1:]} as the drawn ones, got "
            f"{np.shape(data)}; of a table pass the DataFrame that sample gives, and another"
        )
    if shape is not None and not pairs:
        return _pictures(found, data, shape)
    drawn = columns_of(found.x, names)
    own = None if data is None else columns_of(data, names)
    return _columns(own, drawn, pairs)


def frame_layout(drawn: Any, *, data: Any = None, pairs: bool = False) -> Layout:
    """The columns of a DataFrame of drawn rows beside those of the data.

    Raises:
        ValueError: no data, or data that lack a column.
    """
    if data is None:
        raise ValueError(
            "data: expected the table that drawn rows are compared with, got none; pass data=frame"
        )
    columns = columns_of(drawn)
    own = columns_of(data)
    missing = [name for name in columns if name not in own]
    if missing:
        raise ValueError(
            f"data: expected the columns {list(columns)}, got none named {missing}; pass the table "
            "that the model was made from"
        )
    return _columns(own, columns, pairs, _levels(drawn))


def _levels(frame: Any) -> dict[str, Sequence[Any]]:
    """The levels of the columns whose type declares some, in their order."""
    table = opened(frame, "result")
    each = {name: cells_of(table[name]) for name in table.columns}
    return {
        name: cells.levels or () for name, cells in each.items() if cells.was_declared
    }


def _columns(
    own: Columns | None,
    drawn: Columns,
    pairs: bool,
    levels: Mapping[str, Sequence[Any]] | None = None,
) -> Layout:
    if pairs:
        return _pairs(own, drawn)
    chosen = list(drawn)[:MOST_COLUMNS]
    if own is None:
        return Layout([_histogram(name, drawn) for name in chosen], across=4)
    named = levels or {}
    known = (name for name in chosen if not _without_any(name, own, drawn))
    first = next(known, None)
    panels = [
        _check(name, own, drawn, named.get(name, ()), name == first) for name in chosen
    ]
    return Layout(panels, across=4)


def _without_any(name: str, own: Columns, drawn: Columns) -> str:
    """Which of both tables have no known cell in a column, in words; empty where none."""
    tables = {"the data": own, "the drawn rows": drawn}
    return " and ".join(
        what for what, columns in tables.items() if not has_known(columns[name])
    )


def _nothing(name: str, where: str) -> Panel:
    return Panel(lambda axes: nothing_known(axes, where, name=name), 2.8, 2.6)


def _histogram(name: str, drawn: Columns) -> Panel:
    values = drawn[name]
    if not has_known(values):
        return _nothing(name, "the drawn rows")
    return Panel(lambda axes: column_histogram(axes, values, name=name), 2.8, 2.3)


def _check(
    name: str, own: Columns, drawn: Columns, levels: Sequence[Any], has_legend: bool
) -> Panel:
    where = _without_any(name, own, drawn)
    if where:
        return _nothing(name, where)

    def draw(axes: Any) -> None:
        column_check(axes, own[name], drawn[name], name=name, levels=levels)
        if has_legend:
            legend_above(axes)

    return Panel(draw, width=2.8, height=2.6)


def _pairs(own: Columns | None, drawn: Columns) -> Layout:
    """The first columns of numbers of the data beside those of the model, each with each."""
    if own is None:
        raise ValueError(
            "pairs: expected data beside the drawn rows, got none; pass data=x"
        )
    numbers = [name for name in drawn if drawn[name].dtype.kind in "iuf"]
    chosen = [name for name in numbers if own[name].dtype.kind in "iuf"][:MOST_PAIRS]
    if len(chosen) < 2:
        raise ValueError(
            f"pairs: expected at least 2 columns of numbers, got {chosen}; leave pairs out"
        )
    data = {name: own[name] for name in chosen}
    model = {name: drawn[name] for name in chosen}

    def cell(place: int) -> Panel:
        row, column = divmod(place, len(chosen))
        return Panel(lambda axes: pair_cell(axes, data, model, row, column), 1.9, 1.7)

    return Layout([cell(i) for i in range(len(chosen) ** 2)], across=len(chosen))


def _pictures(found: Samples, data: Any, shape: tuple[int, ...]) -> Layout:
    """E[x | z] of draws; with data, these and the difference of the means of pixels."""
    limits = None
    panels = []
    if data is not None:
        rows = np.asarray(data, dtype=np.float64)
        limits = (float(np.nanmin(rows)), float(np.nanmax(rows)))
        panels.append(_grid(rows[:PICTURES], shape, limits, "data"))
    panels.append(_grid(found.mean[:PICTURES], shape, limits, "E[x | z], z from p(z)"))
    if data is not None and len(shape) == 2:
        panels.append(
            Panel(lambda axes: pixel_check(axes, data, found.x, image_shape=shape))
        )
    return Layout(panels)


def _grid(rows: Any, shape: tuple[int, ...], limits: Any, title: str) -> Panel:
    def draw(axes: Any) -> None:
        picture_grid(axes, rows, image_shape=shape, limits=limits)
        axes.set_title(title, fontsize=11)

    return Panel(draw)
