"""Rows as pictures: arrays in, a matplotlib `Figure` out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vae.figure_style import dense

__all__ = ["guess_image_shape", "image_grid", "reconstructions"]

_GAP = 0.06  # between pictures, in heights of one

Pictures = npt.NDArray[Any]
"""(n, h, w), or (n, h, w, 3)."""
Corners = Sequence[tuple[float, float]]
"""The column and the top of each picture; a column is a whole number, tops are in heights."""


def guess_image_shape(data_shape: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of the picture as which a row can be drawn, if any.

    Arguments:
        data_shape: the shape of one row.

    Returns:
        (h, w), (c, h, w) or (h, w, c), c of 1 or 3, as they are (the first where both fit); (s, s)
        for a flat row of s * s values, s of 4 or more; else None.

    Example:
        >>> guess_image_shape((64,)), guess_image_shape((3, 32, 32)), guess_image_shape((20,))
        ((8, 8), (3, 32, 32), None)
    """
    shape = tuple(int(size) for size in data_shape)
    if len(shape) == 1:
        side = math.isqrt(shape[0])
        is_square = side >= 4 and side * side == shape[0]
        return (side, side) if is_square else None
    if len(shape) == 2:
        return shape
    has_channels = len(shape) == 3 and (shape[0] in (1, 3) or shape[2] in (1, 3))
    return shape if has_channels else None


def image_grid(
    rows: npt.ArrayLike,
    *,
    image_shape: Sequence[int] | None = None,
    columns: int = 10,
    title: str | None = None,
    captions: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw rows as small pictures, all on one scale.

    Arguments:
        rows: the data, (n, *data_shape).
        image_shape: (h, w), (c, h, w) or (h, w, c), c of 1 or 3; the default is what
            `guess_image_shape` says.
        columns: the number of pictures side by side.
        title: a line above the pictures.
        captions: a short line below each picture, n of them.
        limits: the values that are black and white, such as the range of the data for rows of a
            model; the default is the range of these rows, which gives noise the contrast of a
            picture.

    Returns:
        The figure.

    Raises:
        ValueError: when the rows are no pictures, or there is not one caption for each row.

    Example:
        >>> figure = image_grid(np.random.default_rng(0).uniform(size=(20, 64)), title="samples")
        >>> len(figure.axes[0].images)
        20
    """
    pictures = pictures_of(rows, image_shape, "image_grid")
    _check_grid(columns, captions, len(pictures))
    columns = min(columns, len(pictures))
    inches = _inches(pictures, columns)
    step = 1 + _GAP
    if captions:
        step += 0.19 / inches
    corners = [(i % columns, i // columns * step) for i in range(len(pictures))]
    figure, axes = _mosaic(
        pictures, corners, columns, limits or _range(pictures), below=step - 1
    )
    if captions:
        _write_below(axes, pictures, corners, captions, points=72 * inches)
    if title:
        axes.set_title(title, fontsize=11, parse_math=False)
        width, height = figure.get_size_inches()
        figure.set_size_inches(max(width, 0.09 * len(title) + 0.2), height + 0.25)
    return figure


def _check_grid(columns: int, captions: Sequence[str] | None, count: int) -> None:
    expected = f"image_grid: expected at least 1 column and {count} captions"
    if columns < 1:
        raise ValueError(f"{expected}, got {columns} columns; correct it")
    if captions is not None and len(captions) != count:
        raise ValueError(f"{expected}, got {len(captions)} captions; correct it")


def reconstructions(
    data: npt.ArrayLike,
    reconstructed: npt.ArrayLike,
    *,
    image_shape: Sequence[int] | None = None,
) -> Figure:
    """Draw rows in pairs of pictures, ten side by side: the data above, its reconstruction below.

    Black and white are the smallest and the largest value of the data.

    Arguments:
        data: the rows, (n, *data_shape).
        reconstructed: their reconstructions, of the same shape.
        image_shape: as for `image_grid`.

    Returns:
        The figure.

    Raises:
        ValueError: when the rows are no pictures, or the two shapes differ.

    Example:
        >>> x = np.random.default_rng(0).uniform(size=(12, 64))
        >>> len(reconstructions(x, x**2).axes[0].images)
        24
    """
    if np.shape(data) != np.shape(reconstructed):
        raise ValueError(
            f"reconstructed: expected shape {np.shape(data)} as the data, got "
            f"{np.shape(reconstructed)}"
        )
    above = pictures_of(data, image_shape, "reconstructions")
    below = pictures_of(reconstructed, image_shape, "reconstructions")
    columns = min(10, len(above))
    upper = [(i % columns, 2.25 * (i // columns)) for i in range(len(above))]
    lower = [(column, top + 1 + _GAP) for column, top in upper]
    pictures = np.concatenate([above, below])
    before = 1.1 / _inches(pictures, columns)  # room for the names
    figure, axes = _mosaic(
        pictures, upper + lower, columns, _range(above), before=before
    )
    _name_lines(axes, "data", upper)
    _name_lines(axes, "reconstruction", lower)
    return figure


def _name_lines(axes: Axes, name: str, corners: Corners) -> None:
    """Write a name beside each line of pictures."""
    for top in sorted({top for _, top in corners}):
        axes.text(-0.1, top + 0.5, name, ha="right", va="center", fontsize=9)


def pictures_of(
    rows: npt.ArrayLike, image_shape: Sequence[int] | None, caller: str
) -> Pictures:
    """Rows as (n, h, w), or (n, h, w, 3)."""
    values = dense(rows)
    size = math.prod(values.shape[1:])
    shape = (
        guess_image_shape(values.shape[1:])
        if image_shape is None
        else tuple(image_shape)
    )
    if shape is None or not values.size or not _is_picture(shape, size):
        raise ValueError(
            f"{caller}: expected rows that make pictures, got shape {values.shape} and image_shape "
            f"{image_shape}; give image_shape=(h, w), (c, h, w) or (h, w, c) with c of 1 or 3 and "
            f"a product of {size}"
        )
    pictures = values.reshape(-1, *shape)
    if len(shape) == 2:
        return pictures
    if shape[0] in (1, 3):
        pictures = np.moveaxis(pictures, 1, -1)
    return pictures[..., 0] if pictures.shape[-1] == 1 else pictures


def _is_picture(shape: tuple[int, ...], size: int) -> bool:
    """Whether rows of that many values can be drawn as pictures of a shape."""
    is_known = len(shape) >= 2 and guess_image_shape(shape) is not None
    return is_known and math.prod(shape) == size


def _range(pictures: Pictures) -> tuple[float, float]:
    """The smallest and the largest value that is known."""
    known = pictures[np.isfinite(pictures)]
    if not known.size:
        return 0.0, 1.0
    return float(known.min()), float(known.max())


def _aspect(pictures: Pictures) -> float:
    """The width of a picture in heights."""
    return pictures.shape[2] / pictures.shape[1]


def _inches(pictures: Pictures, columns: int) -> float:
    """The height of one picture, for a figure of 8 inches at most."""
    return min(1.5, 8 / (columns * (_aspect(pictures) + _GAP)))


def _write_below(
    axes: Axes,
    pictures: Pictures,
    corners: Corners,
    captions: Sequence[str],
    points: float,
) -> None:
    """Write a line below each picture, as small as the longest needs.

    Arguments:
        points: the height of a picture.
    """
    width = _aspect(pictures)
    longest = max(1, *map(len, captions))
    size = min(8.0, points * width / (0.62 * longest))
    look: dict[str, Any] = {
        "ha": "center",
        "va": "top",
        "fontsize": size,
        "parse_math": False,
    }
    for (column, top), caption in zip(corners, captions, strict=True):
        middle = column * (width + _GAP) + width / 2
        axes.text(middle, top + 1.03, caption, **look)


def _mosaic(
    pictures: Pictures,
    corners: Corners,
    columns: int,
    limits: tuple[float, float],
    *,
    before: float = 0.0,
    below: float = 0.0,
) -> tuple[Figure, Axes]:
    """Draw pictures on one axes whose unit is the height of one.

    Arguments:
        pictures: all of one shape.
        corners: the column and the top of each.
        columns: the number of columns.
        limits: the values that are black and white.
        before: room to the left.
        below: room below the last line.
    """
    width = _aspect(pictures)
    right = columns * (width + _GAP) - _GAP
    bottom = max(top for _, top in corners) + 1 + below
    inches = _inches(pictures, columns)
    size = ((before + right) * inches + 0.15, bottom * inches + 0.15)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    low, high = limits
    if pictures.ndim == 4:  # matplotlib scales grey pictures itself, but not colours
        scaled = (pictures - low) / (high - low or 1.0)
        pictures = np.nan_to_num(np.clip(scaled, 0, 1))
    look: dict[str, Any] = {
        "cmap": "gray",
        "vmin": low,
        "vmax": high,
        "interpolation": "nearest",
    }
    for picture, (column, top) in zip(pictures, corners, strict=True):
        left = column * (width + _GAP)
        axes.imshow(picture, extent=(left, left + width, top + 1, top), **look)
    axes.set(xlim=(-before, right), ylim=(bottom, 0))
    axes.set_axis_off()
    return figure, axes
