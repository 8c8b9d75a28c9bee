"""Posterior predictive checks of pictures: the pixels of drawn rows beside those of the data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.images import pictures_of

__all__ = ["pixel_check"]

FARTHEST = 6.0
"""Standard errors at which the colours end, at most."""


def pixel_check(
    axes: Axes,
    data: npt.ArrayLike,
    draws: npt.ArrayLike,
    *,
    image_shape: Sequence[int] | None = None,
) -> Axes:
    """Draw by how many standard errors the mean of each pixel differs between model and data.

    (mean of draws - mean of data) / √(var of data / n + var of draws / m)

    Arguments:
        axes: to draw on; the colour scale is drawn beside it.
        data: rows that are grey pictures, (n, *data_shape); nan is missing.
        draws: rows of the model, (m, *data_shape).
        image_shape: as for `image_grid`.

    Returns:
        The axes.

    Raises:
        ValueError: rows that are no grey pictures, two shapes, fewer than 2 rows.

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = np.random.default_rng(0).normal(size=(50, 16))
        >>> axes = pixel_check(Figure().add_subplot(), x[:25], x[25:])
        >>> axes.images[0].get_array().shape
        (4, 4)
    """
    rows = [np.asarray(each, dtype=np.float64) for each in (data, draws)]
    tiles = [pictures_of(each, image_shape, "pixel_check") for each in rows]
    _require_alike(tiles)
    own, other = (np.ma.masked_invalid(each) for each in tiles)
    gap = (other.mean(0) - own.mean(0)).filled(np.nan)
    squares = [each.var(0, ddof=1) / each.count(0) for each in (own, other)]
    error = np.sqrt(squares[0] + squares[1]).filled(np.nan)
    # a pixel that never varies and differs is as far off as the scale goes
    far = np.sign(gap) * FARTHEST
    score = np.divide(gap, error, out=far, where=error > 0)
    end = float(np.clip(np.nanmax(np.abs(score), initial=0.0), 3, FARTHEST))
    look: dict[str, Any] = {"cmap": "PuOr_r", "interpolation": "nearest"}
    drawn = axes.imshow(score, vmin=-end, vmax=end, **look)
    figure: Any = axes.get_figure()
    label = "mean of model - data, in se"
    bar = figure.colorbar(drawn, ax=axes, label=label, extend="both")
    bar.outline.set_visible(False)
    axes.set(xlabel="pixel, from the left", ylabel="pixel, from the top")
    return axes


def _require_alike(tiles: Sequence[npt.NDArray[Any]]) -> None:
    shapes = [each.shape[1:] for each in tiles]
    if tiles[0].ndim != 3 or shapes[0] != shapes[1] or min(map(len, tiles)) < 2:
        raise ValueError(
            f"pixel_check: expected grey pictures of one shape, 2 or more of both, got "
            f"{tiles[0].shape} and {tiles[1].shape}; take one channel, and more rows"
        )
