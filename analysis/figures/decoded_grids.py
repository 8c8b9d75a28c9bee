"""What a model draws or decodes: pictures in a grid, or the mean of a column over z."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.images import pictures_of
from pyro_vae.analysis.figures.names import name_ticks, plain

__all__ = [
    "manifold_column",
    "manifold_pictures",
    "picture_grid",
    "traversal_pictures",
]

Floats = npt.NDArray[np.float64]
GAP = 0.05
"""Between pictures, in heights of one; at least a pixel."""


def manifold_pictures(
    axes: Axes,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    means: npt.ArrayLike,
    *,
    image_shape: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
    dimensions: tuple[int, int] = (0, 1),
) -> Axes:
    """Draw E[x | z] as a picture at each z of a grid of two dimensions.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), figure 4.

    Arguments:
        axes: to draw on.
        first, second: the values of the two dimensions, evenly spaced, (a,) and (b,).
        means: E[x | z], (b, a, *data_shape).
        image_shape: as for `image_grid`.
        limits: the values that are black and white; the default is the range of the means.
        dimensions: the numbers of the two dimensions, for the labels.

    Returns:
        The axes, whose units are those of z.

    Raises:
        ValueError: rows that are no pictures, or not one for each z.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.linspace(-2, 2, 3)
        >>> axes = manifold_pictures(Figure().add_subplot(), z, z, np.zeros((3, 3, 16)))
        >>> axes.images[0].get_array().shape, axes.images[0].get_extent()  # gaps of a pixel
        ((15, 15), [-3.0, 3.0, -3.0, 3.0])
    """
    x = np.asarray(first, dtype=np.float64)
    y = np.asarray(second, dtype=np.float64)
    values = np.asarray(means, dtype=np.float64)
    _require_grid(values.shape[:2], (len(y), len(x)), "manifold_pictures")
    flat = values.reshape(-1, *values.shape[2:])
    tiles = pictures_of(flat, image_shape, "manifold_pictures")
    height, width = tiles.shape[1:3]
    picture = _mosaic(tiles.reshape(len(y), len(x), *tiles.shape[1:])[::-1])
    extent = (*_ends(x), *_ends(y))
    step_x = (extent[1] - extent[0]) / len(x)
    step_y = (extent[3] - extent[2]) / len(y)
    aspect = height / width * step_x / step_y
    _show(axes, picture, limits, extent=extent, aspect=aspect)
    axes.set(
        xlabel=f"z, dimension {dimensions[0]}", ylabel=f"z, dimension {dimensions[1]}"
    )
    return axes


def manifold_column(
    axes: Axes,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    means: npt.ArrayLike,
    *,
    name: str = "E[x | z]",
    dimensions: tuple[int, int] = (0, 1),
) -> Axes:
    """Draw E[x | z] of one column on a grid of two dimensions, as colours.

    Arguments:
        axes: to draw on; the colour scale is drawn beside it.
        first, second: the values of the two dimensions, evenly spaced, (a,) and (b,).
        means: E[x | z] of the column, (b, a).
        name: of the column, with its unit.
        dimensions: the numbers of the two dimensions, for the labels.

    Returns:
        The axes.

    Raises:
        ValueError: not one number for each z.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.linspace(-2, 2, 3)
        >>> axes = manifold_column(Figure().add_subplot(), z, z, np.eye(3), name="mass in g")
        >>> axes.images[0].get_array()[0].tolist()  # the top has the largest z
        [0.0, 0.0, 1.0]
    """
    x = np.asarray(first, dtype=np.float64)
    y = np.asarray(second, dtype=np.float64)
    values = np.asarray(means, dtype=np.float64)
    _require_grid(values.shape, (len(y), len(x)), "manifold_column")
    look: dict[str, Any] = {"cmap": "viridis", "aspect": "auto"}
    drawn = axes.imshow(
        values[::-1], interpolation="nearest", extent=(*_ends(x), *_ends(y)), **look
    )
    figure: Any = axes.get_figure()
    bar = figure.colorbar(drawn, ax=axes, label=plain(name, 40))
    bar.outline.set_visible(False)
    axes.set(
        xlabel=f"z, dimension {dimensions[0]}", ylabel=f"z, dimension {dimensions[1]}"
    )
    return axes


def traversal_pictures(
    axes: Axes,
    z: npt.ArrayLike,
    means: npt.ArrayLike,
    *,
    dimensions: Sequence[int] | None = None,
    image_shape: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw E[x | z] as pictures along dimensions of z, a line for each dimension.

    Arguments:
        axes: to draw on.
        z: the values of each dimension, in order, (d, steps).
        means: E[x | z] for each of them, (d, steps, *data_shape).
        dimensions: their numbers, d of them.
        image_shape: as for `image_grid`.
        limits: the values that are black and white; the default is the range of the means.

    Returns:
        The axes; beside each line stand the dimension and the ends of its values.

    Raises:
        ValueError: rows that are no pictures, or not one for each z.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.array([[-2.0, 0.0, 2.0]])
        >>> axes = traversal_pictures(Figure().add_subplot(), z, np.zeros((1, 3, 16)))
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['0: -2 to 2']
    """
    values = np.asarray(z, dtype=np.float64)
    x = np.asarray(means, dtype=np.float64)
    numbers = range(len(values)) if dimensions is None else dimensions
    _require_grid(x.shape[:2], values.shape, "traversal_pictures")
    tiles = pictures_of(x.reshape(-1, *x.shape[2:]), image_shape, "traversal_pictures")
    height, width = tiles.shape[1:3]
    lines, steps = values.shape
    picture = _mosaic(tiles.reshape(lines, steps, *tiles.shape[1:]))
    extent = (0.5, steps + 0.5, lines - 0.5, -0.5)
    _show(axes, picture, limits, extent=extent, aspect=height / width)
    ends = zip(numbers, values[:, 0], values[:, -1], strict=True)
    names = [f"{d}: {low:.3g} to {high:.3g}" for d, low, high in ends]
    name_ticks(axes.yaxis, range(lines), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([1, steps], ["from", "to"])
    axes.set(xlabel="z, the others at their mean", ylabel="dimension: values")
    return axes


def picture_grid(
    axes: Axes,
    rows: npt.ArrayLike,
    *,
    columns: int = 8,
    image_shape: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw rows as pictures side by side on given axes, without ticks.

    Arguments:
        axes: to draw on.
        rows: (n, *data_shape).
        columns: the number of pictures side by side.
        image_shape: as for `image_grid`.
        limits: the values that are black and white; the default is the range of the rows.

    Returns:
        The axes.

    Raises:
        ValueError: rows that are no pictures.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = picture_grid(Figure().add_subplot(), np.zeros((5, 16)), columns=3)
        >>> axes.images[0].get_array().shape  # two lines of three, with gaps of a pixel
        (10, 15)
    """
    tiles = pictures_of(rows, image_shape, "picture_grid").astype(np.float64)
    across = max(1, min(columns, len(tiles)))
    down = math.ceil(len(tiles) / across)
    empty = np.full((down * across - len(tiles), *tiles.shape[1:]), np.nan)
    whole = np.concatenate([tiles, empty]).reshape(down, across, *tiles.shape[1:])
    _show(axes, _mosaic(whole), limits)
    axes.set_axis_off()
    return axes


def _require_grid(got: tuple[int, ...], expected: tuple[int, ...], caller: str) -> None:
    if got != expected:
        raise ValueError(
            f"{caller}: expected means for each z, shape {expected} first, got {got}; decode each "
            "point of the grid"
        )


def _ends(values: Floats) -> tuple[float, float]:
    """Half a step beyond the first and the last of evenly spaced values."""
    step = (values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else 1.0
    return float(values[0] - step / 2), float(values[-1] + step / 2)


def _mosaic(tiles: npt.NDArray[Any]) -> Floats:
    """Pictures (lines, columns, h, w[, 3]) as one, with a gap to the right of each and below."""
    lines, columns, height, width, *colours = tiles.shape
    gap = max(1, round(GAP * height))
    margins = [(0, 0), (0, 0), (0, gap), (0, gap), *[(0, 0) for _ in colours]]
    apart = np.pad(tiles.astype(np.float64), margins, constant_values=np.nan)
    whole = np.moveaxis(apart, 2, 1)
    return whole.reshape(lines * (height + gap), columns * (width + gap), *colours)


def _show(
    axes: Axes,
    picture: npt.NDArray[Any],
    limits: tuple[float, float] | None,
    **where: Any,
) -> None:
    low, high = (np.nanmin(picture), np.nanmax(picture)) if limits is None else limits
    if picture.ndim == 3:  # matplotlib scales grey pictures itself, but not colours
        scaled = np.clip((picture - low) / (high - low or 1.0), 0, 1)
        picture = np.nan_to_num(scaled, nan=1.0)  # white, as paper
    look: dict[str, Any] = {"cmap": "gray", "interpolation": "nearest"}
    axes.imshow(picture, vmin=float(low), vmax=float(high), **where, **look)
