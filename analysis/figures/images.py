"""Rows as pictures: arrays in, a matplotlib `Figure` out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["guess_image_shape", "image_grid", "reconstructions"]

_GAP = 0.06  # between pictures, in heights of one


def guess_image_shape(data_shape: Sequence[int]) -> tuple[int, ...] | None:
    """Say as which picture a row of a shape can be drawn, if any.

    Arguments:
        data_shape: The shape of one row.

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
        return (side, side) if side >= 4 and side * side == shape[0] else None
    return shape if len(shape) == 2 or (len(shape) == 3 and {shape[0], shape[2]} & {1, 3}) else None


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
        rows: The data, (n, *data_shape).
        image_shape: (h, w), (c, h, w) or (h, w, c), c of 1 or 3; the default is what
            `guess_image_shape` says.
        columns: The number of pictures side by side.
        title: A line above the pictures.
        captions: A short line below each picture, n of them.
        limits: The values that are black and white, such as the range of the data for rows of a
            model; the default is the range of these rows, which gives noise the contrast of a
            picture.

    Returns:
        The figure.

    Raises:
        ValueError: When the rows are no pictures, or the captions are not one a row.

    Example:
        >>> figure = image_grid(np.random.default_rng(0).uniform(size=(20, 64)), title="samples")
        >>> len(figure.axes[0].images)
        20
    """
    pictures = _pictures(rows, image_shape, "image_grid")
    if columns < 1 or (captions is not None and len(captions) != len(pictures)):
        got = f"{columns} columns" if columns < 1 else f"{len(captions or ())} captions"
        raise ValueError(
            f"image_grid: expected at least 1 column and {len(pictures)} captions, got {got}; "
            "correct it"
        )
    columns = min(columns, len(pictures))
    step = 1 + _GAP + (0.19 / _inches(pictures, columns) if captions else 0)
    places = [(i % columns, i // columns * step) for i in range(len(pictures))]
    figure, axes = _mosaic(pictures, places, columns, limits or _range(pictures), below=step - 1)
    if captions:
        _write_below(axes, pictures, places, captions, points=72 * _inches(pictures, columns))
    if title:
        axes.set_title(title, fontsize=11, parse_math=False)
        width, height = figure.get_size_inches()
        figure.set_size_inches(max(width, 0.09 * len(title) + 0.2), height + 0.25)
    return figure


def reconstructions(
    data: npt.ArrayLike, reconstructed: npt.ArrayLike, *, image_shape: Sequence[int] | None = None
) -> Figure:
    """Draw rows in pairs of pictures, ten pairs side by side: the data above, its reconstruction
    below.

    Black and white are the smallest and the largest value of the data.

    Arguments:
        data: The rows, (n, *data_shape).
        reconstructed: Their reconstructions, of the same shape.
        image_shape: As for `image_grid`.

    Returns:
        The figure.

    Raises:
        ValueError: When the rows are no pictures, or the two shapes differ.

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
    above, below = (
        _pictures(rows, image_shape, "reconstructions") for rows in (data, reconstructed)
    )
    columns = min(10, len(above))
    upper = [(i % columns, 2.25 * (i // columns)) for i in range(len(above))]
    lower = [(column, top + 1 + _GAP) for column, top in upper]
    pictures = np.concatenate([above, below])
    figure, axes = _mosaic(
        pictures, upper + lower, columns, _range(above), before=1.1 / _inches(pictures, columns)
    )
    for name, places in (("data", upper), ("reconstruction", lower)):
        for top in sorted({top for _, top in places}):
            axes.text(-0.1, top + 0.5, name, ha="right", va="center", fontsize=9)
    return figure


def _pictures(
    rows: npt.ArrayLike, image_shape: Sequence[int] | None, place: str
) -> npt.NDArray[Any]:
    """Rows as (n, h, w), or (n, h, w, 3)."""
    values = np.asarray(rows)
    shape = guess_image_shape(values.shape[1:]) if image_shape is None else tuple(image_shape)
    size = math.prod(values.shape[1:])
    if (
        shape is None
        or not values.size
        or len(shape) < 2
        or guess_image_shape(shape) is None
        or math.prod(shape) != size
    ):
        raise ValueError(
            f"{place}: expected rows that make pictures, got shape {values.shape} and image_shape "
            f"{image_shape}; give image_shape=(h, w), (c, h, w) or (h, w, c) with c of 1 or 3 and "
            f"a product of {size}"
        )
    pictures = values.reshape(-1, *shape)
    if len(shape) == 3 and shape[0] in (1, 3):
        pictures = np.moveaxis(pictures, 1, -1)
    return pictures[..., 0] if len(shape) == 3 and pictures.shape[-1] == 1 else pictures


def _range(pictures: npt.NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest value that is known."""
    known = pictures[np.isfinite(pictures)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _inches(pictures: npt.NDArray[Any], columns: int) -> float:
    """The height of one picture, for a figure of 8 inches at most."""
    return min(1.5, 8 / (columns * (pictures.shape[2] / pictures.shape[1] + _GAP)))


def _write_below(
    axes: Axes,
    pictures: npt.NDArray[Any],
    places: Sequence[tuple[int, float]],
    captions: Sequence[str],
    points: float,
) -> None:
    """Write a line below each picture, as small as the longest needs; `points` is the height of a
    picture.
    """
    width = pictures.shape[2] / pictures.shape[1]
    size = min(8.0, points * width / (0.62 * max(1, *map(len, captions))))
    for (column, top), caption in zip(places, captions, strict=True):
        middle = column * (width + _GAP) + width / 2
        axes.text(
            middle, top + 1.03, caption, ha="center", va="top", fontsize=size, parse_math=False
        )


def _mosaic(
    pictures: npt.NDArray[Any],
    places: Sequence[tuple[int, float]],
    columns: int,
    limits: tuple[float, float],
    *,
    before: float = 0.0,
    below: float = 0.0,
) -> tuple[Figure, Axes]:
    """Draw pictures at their (column, top) on one axes whose unit is the height of one, with room
    before and below.
    """
    width = pictures.shape[2] / pictures.shape[1]
    right, bottom = columns * (width + _GAP) - _GAP, max(top for _, top in places) + 1 + below
    inches = _inches(pictures, columns)
    figure = Figure(
        figsize=((before + right) * inches + 0.15, bottom * inches + 0.15), layout="constrained"
    )
    axes = figure.add_subplot()
    low, high = limits
    if pictures.ndim == 4:
        pictures = np.nan_to_num(np.clip((pictures - low) / (high - low or 1.0), 0, 1))
    for picture, (column, top) in zip(pictures, places, strict=True):
        left = column * (width + _GAP)
        extent = (left, left + width, top + 1, top)
        axes.imshow(
            picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest", extent=extent
        )
    axes.set(xlim=(-before, right), ylim=(bottom, 0))
    axes.set_axis_off()
    return figure, axes
