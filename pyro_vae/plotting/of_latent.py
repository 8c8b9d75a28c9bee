"""Pictures of the latent space and of what is drawn from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyro_vae.analysis import Codes, LatentUse, Manifold, Samples, Traversal
from pyro_vae.analysis.figures.column_checks import (
    column_check,
    column_histogram,
    columns_of,
    pixel_check,
)
from pyro_vae.analysis.figures.decoded_grids import (
    manifold_column,
    manifold_pictures,
    picture_grid,
    traversal_pictures,
)
from pyro_vae.analysis.figures.images import guess_image_shape
from pyro_vae.analysis.figures.latent_axes import rate_by_dimension, traversal
from pyro_vae.analysis.figures.latent_moments import aggregate_moments
from pyro_vae.analysis.figures.latent_points import latent_points
from pyro_vae.analysis.figures.pairs import pair_cell
from pyro_vae.plotting.layout import Layout, Panel, layout_of

MOST_COLUMNS = 12
MOST_PAIRS = 5
PICTURES = 40
FEW = 64
"""Numbers of a flat row from which on it is taken for a picture."""


def _image_shape(
    shape: tuple[int, ...], given: Sequence[int] | None
) -> tuple[int, ...] | None:
    """The shape of a row as a picture, or None: short flat rows are those of a table."""
    if given is not None:
        return tuple(given)
    is_short = len(shape) == 1 and shape[0] < FEW
    return None if is_short else guess_image_shape(shape)


@layout_of.register
def codes_layout(
    found: Codes,
    *,
    colour_by: npt.ArrayLike | None = None,
    name: str = "",
    dimensions: tuple[int, int] | None = None,
) -> Layout:
    """E[z | x] in the two dimensions that vary most, with 90 % ellipses of q(z | x)."""
    latent_dim = found.loc.shape[1]
    if latent_dim == 1:
        values = found.loc[:, 0]
        return Layout(
            [Panel(lambda axes: column_histogram(axes, values, name="E[z | x]"))]
        )
    order = np.argsort(-found.loc.var(0), kind="stable")[:2]
    pair = tuple(sorted(order)) if dimensions is None else tuple(dimensions)
    if len(pair) != 2 or not all(0 <= d < latent_dim for d in pair):
        raise ValueError(
            f"dimensions: expected two from 0 to {latent_dim - 1}, got {pair}; such as (0, 1)"
        )
    first, second = (int(d) for d in pair)
    look: dict[str, Any] = {"colour_by": colour_by, "name": name}
    if found.scale.any():  # an autoencoder has no widths
        look["scale"] = found.scale[:, [first, second]]
    codes = found.loc[:, [first, second]]
    return Layout(
        [
            Panel(
                lambda axes: latent_points(
                    axes, codes, dimensions=(first, second), **look
                ),
                width=5.2,
                height=4.4,
            )
        ]
    )


@layout_of.register
def latent_use_layout(found: LatentUse) -> Layout:
    """Rate by dimension with active units; mean and width of q(z) over those of the prior."""
    moments = (found.mean, found.scale, found.prior_mean, found.prior_scale)
    panels = [Panel(lambda axes: aggregate_moments(axes, *moments))]
    if not np.isnan(found.rate_per_dim).all():
        rates = (found.rate_per_dim, found.active)
        panels.insert(0, Panel(lambda axes: rate_by_dimension(axes, *rates)))
    return Layout(panels)


@layout_of.register
def traversal_layout(
    found: Traversal, *, image_shape: Sequence[int] | None = None
) -> Layout:
    """A line of pictures for each dimension, or the columns that change most along each."""
    shape = _image_shape(found.mean.shape[2:], image_shape)
    lines, steps = found.z.shape
    if shape is not None and found.names is None:
        how: dict[str, Any] = {"dimensions": found.dimensions, "image_shape": shape}
        return Layout(
            [
                Panel(
                    lambda axes: traversal_pictures(axes, found.z, found.mean, **how),
                    width=1.6 + 0.6 * steps,
                    height=0.8 + 0.6 * lines,
                )
            ]
        )
    means = found.mean.reshape(lines, steps, -1)
    names = _names(found.names, means.shape[-1])
    scale = np.ravel(found.scale)

    def line(i: int) -> Panel:
        how: Any = {"columns": names, "scale": scale}
        how["dimension"] = int(found.dimensions[i])
        draw: Any = lambda axes: traversal(axes, found.z[i], means[i], **how)  # noqa: E731
        return Panel(draw, height=3.8)

    return Layout([line(i) for i in range(lines)])


def _names(names: Sequence[Any] | None, count: int) -> list[str]:
    return [f"x[{i}]" for i in range(count)] if names is None else [*map(str, names)]


@layout_of.register
def manifold_layout(
    found: Manifold,
    *,
    image_shape: Sequence[int] | None = None,
    column: str | int | None = None,
) -> Layout:
    """A picture at each z, or one column as colours: by default the one that varies most."""
    shape = _image_shape(found.mean.shape[2:], image_shape)
    grid = (found.first, found.second)
    how: dict[str, Any] = {"dimensions": found.dimensions}
    if shape is not None and found.names is None and column is None:
        return Layout(
            [
                Panel(
                    lambda axes: manifold_pictures(
                        axes, *grid, found.mean, image_shape=shape, **how
                    ),
                    width=5.0,
                    height=5.0,
                )
            ]
        )
    means = found.mean.reshape(*found.mean.shape[:2], -1)
    names = _names(found.names, means.shape[-1])
    chosen = _column(means, names, column)
    label = f"E[{names[chosen]} | z]"
    return Layout(
        [
            Panel(
                lambda axes: manifold_column(
                    axes, *grid, means[..., chosen], name=label, **how
                )
            )
        ]
    )


def _column(means: np.ndarray, names: list[str], column: str | int | None) -> int:
    """The position of a column; of none, that of the one whose mean varies most over z."""
    if column is None:
        spread = means.std((0, 1)) / (np.abs(means).mean((0, 1)) + 1e-12)
        return int(np.nan_to_num(spread, nan=-1.0).argmax())
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, int) and 0 <= column < len(names):
        return column
    raise ValueError(
        f"column: expected one of {names[:10]}, or a position below {len(names)}, got {column!r}"
    )


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
    shape = None if names is not None else _image_shape(found.x.shape[1:], image_shape)
    if data is not None and np.shape(data)[1:] != found.x.shape[1:]:
        raise ValueError(
            f"data: expected rows of shape {found.x.shape[1:]} as the drawn ones, got "
            f"{np.shape(data)}; of a table pass its numbers, pv.data.table(frame).values"
        )
    if shape is not None and not pairs:
        return _pictures(found, data, shape)
    drawn = columns_of(found.x, names)
    own = None if data is None else columns_of(np.asarray(data), names)
    if pairs:
        return _pairs(own, drawn)
    chosen = list(drawn)[:MOST_COLUMNS]
    return Layout([_column_panel(name, own, drawn) for name in chosen], across=4)


def _column_panel(name: str, own: Any, drawn: Any) -> Panel:
    if own is None:
        draw: Any = lambda axes: column_histogram(axes, drawn[name], name=name)  # noqa: E731
    else:
        draw = lambda axes: column_check(axes, own[name], drawn[name], name=name)  # noqa: E731
    return Panel(draw, width=2.8, height=2.3)


def _pairs(own: Any, drawn: Any) -> Layout:
    """The first columns of the data beside those of the model, each with each."""
    if own is None:
        raise ValueError(
            "pairs: expected data beside the drawn rows, got none; pass data=x"
        )
    chosen = list(drawn)[:MOST_PAIRS]
    own, drawn = ({name: table[name] for name in chosen} for table in (own, drawn))

    def cell(place: int) -> Panel:
        row, column = divmod(place, len(chosen))
        return Panel(lambda axes: pair_cell(axes, own, drawn, row, column), 1.9, 1.7)

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
        picture_grid(axes, rows, image_shape=shape, limits=limits).set_title(
            title, fontsize=11
        )

    return Panel(draw)
