"""Codes of two dimensions as points, in colours, with the ellipses of normal distributions."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from pyro_vae.analysis.figures.labels import Groups, by_label
from pyro_vae.analysis.figures.names import plain
from pyro_vae.analysis.results.levels import require_share
from pyro_vae.figure_style import BLUE, GREY, colour_and_marker, legend_above

__all__ = ["has_colour_scale", "latent_points", "normal_ellipse"]

Floats = npt.NDArray[np.float64]
LEVEL = 0.9
MOST_ELLIPSES = 30
"""Rows whose ellipse is drawn: more would hide the points."""
DISCRETE = 12
"""Numbers that take at most so many values are labels."""


def normal_ellipse(
    mean: npt.ArrayLike, covariance: npt.ArrayLike, level: float = LEVEL, **look: Any
) -> Ellipse:
    """The ellipse that holds a share of a normal distribution of two variables.

    (z - m)ᵀ Σ⁻¹ (z - m) ≤ -2 log(1 - level), the quantile of the χ² distribution with 2 degrees

    Arguments:
        mean: m, (2,).
        covariance: Σ, (2, 2).
        level: the share inside.
        **look: properties of a matplotlib patch.

    Returns:
        The patch; `axes.add_patch(...)` draws it.

    Raises:
        ValueError: other shapes, a level that is not between 0 and 1.

    Example:
        >>> ellipse = normal_ellipse([0.0, 0.0], [[4.0, 0.0], [0.0, 1.0]], level=0.9)
        >>> round(ellipse.width / 2, 3), round(ellipse.height / 2, 3)  # 2 and 1 times 2.146
        (2.146, 4.292)
    """
    centre = np.asarray(mean, dtype=np.float64)
    sigma = np.asarray(covariance, dtype=np.float64)
    require_share(level, usual=LEVEL)
    if centre.shape != (2,) or sigma.shape != (2, 2):
        raise ValueError(
            "normal_ellipse: expected a mean (2,) and a covariance (2, 2), got "
            f"{centre.shape} and {sigma.shape}; take two dimensions"
        )
    variances, directions = np.linalg.eigh(sigma)
    axes = 2 * np.sqrt(-2 * np.log1p(-level) * np.maximum(variances, 0))
    angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
    return Ellipse(
        (float(centre[0]), float(centre[1])),
        float(axes[0]),
        float(axes[1]),
        angle=float(angle),
        **look,
    )


def latent_points(
    axes: Axes,
    codes: npt.ArrayLike,
    *,
    colour_by: npt.ArrayLike | None = None,
    name: str = "",
    scale: npt.ArrayLike | None = None,
    level: float = LEVEL,
    dimensions: tuple[int, int] = (0, 1),
) -> Axes:
    """Draw E[z | x] of each row in two dimensions, with ellipses that hold 90 % of a normal.

    With `scale` the ellipses are those of q(z | x) of up to 30 rows; without it, with labels, those
    of a normal distribution fitted to the points of each label. Numbers that take more than 12
    values have a colour scale, all else has a colour and a marker for each label.

    Arguments:
        axes: to draw on; a colour scale is drawn beside it.
        codes: (n, 2).
        colour_by: a column, labels or log p(x) of the rows, (n,).
        name: what colours mean, with its unit, such as "log p(x) in nats".
        scale: standard deviations of q(z | x), of independent dimensions, (n, 2).
        level: the share that an ellipse holds.
        dimensions: the numbers of the two dimensions, for the labels.

    Returns:
        The axes.

    Raises:
        ValueError: codes that are not finite numbers (n, 2); other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.random.default_rng(0).normal(size=(40, 2))
        >>> look = {"colour_by": np.arange(40) % 2, "name": "class"}
        >>> axes = latent_points(Figure().add_subplot(), z, **look)
        >>> len(axes.patches), [text.get_text() for text in axes.get_legend().get_texts()]
        (2, ['0', '1'])
    """
    points = _checked(codes, scale)
    size = float(np.clip(12000 / len(points), 4, 24))
    colours: list[Any] = [BLUE] * len(points)
    values = None if colour_by is None else np.asarray(colour_by)
    fits = values is not None and values.shape == (len(points),)
    if values is not None and fits and has_colour_scale(values):
        numbers = values.astype(np.float64)
        colours = _coloured(axes, points, numbers, name, size)
    else:
        groups = by_label(colour_by, len(points))
        _grouped(axes, points, groups, size, level if scale is None else None)
        for i, chosen in enumerate(groups.values()):
            for row in np.flatnonzero(chosen):
                colours[row] = colour_and_marker(i)[0]
        if colour_by is not None:
            legend_above(axes, columns=min(len(groups), 4))
            legend: Any = axes.get_legend()
            for handle in legend.legend_handles:
                handle.set_sizes([30])
    if scale is not None:
        _row_ellipses(axes, points, np.asarray(scale, np.float64), level, colours)
    axes.autoscale_view()
    axes.set_aspect("equal", adjustable="datalim")
    first, second = (f"E[z | x], dimension {d}" for d in dimensions)
    axes.set(xlabel=first, ylabel=second)
    return axes


def _checked(codes: npt.ArrayLike, scale: npt.ArrayLike | None) -> Floats:
    points = np.asarray(codes, dtype=np.float64)
    is_plane = points.ndim == 2 and points.shape[1] == 2 and len(points) > 0
    if not is_plane or not np.isfinite(points).all():
        raise ValueError(
            f"codes: expected finite numbers of shape (n, 2), got shape {points.shape}; choose two "
            "dimensions, codes[:, [0, 1]]"
        )
    if scale is not None and np.shape(scale) != points.shape:
        raise ValueError(
            f"scale: expected the shape {points.shape} of the codes, got {np.shape(scale)}; choose "
            "the same dimensions"
        )
    return points


def has_colour_scale(colour_by: npt.ArrayLike) -> bool:
    """Whether values are numbers for a colour scale, and no labels: they take more than 12 values.

    Example:
        >>> has_colour_scale(np.arange(10.0)), has_colour_scale(np.arange(20.0))
        (False, True)
    """
    values = np.asarray(colour_by)
    return values.dtype.kind in "iuf" and len(np.unique(values)) > DISCRETE


def _coloured(
    axes: Axes, points: Floats, numbers: Floats, name: str, size: float
) -> list[Any]:
    """Points on a colour scale, whose ends are the 1 % and 99 % quantiles; their colours."""
    is_known = np.isfinite(numbers)
    low, high = np.quantile(numbers[is_known], (0.01, 0.99))
    look: dict[str, Any] = {"s": size, "linewidths": 0}
    x, y = points.T
    drawn = axes.scatter(
        x[is_known],
        y[is_known],
        c=numbers[is_known],
        cmap="viridis",
        vmin=float(low),
        vmax=float(high),
        **look,
    )
    if not is_known.all():
        label = f"not known ({(~is_known).sum()})"
        look = {"c": GREY, "marker": "x", "s": size, "label": label}
        axes.scatter(x[~is_known], y[~is_known], **look)
        legend_above(axes)
    figure: Any = axes.get_figure()
    bar = figure.colorbar(drawn, ax=axes, label=plain(name, 40), extend="both")
    bar.outline.set_visible(False)
    found: list[Any] = [GREY] * len(points)
    for row, colour in zip(
        np.flatnonzero(is_known), drawn.to_rgba(numbers[is_known]), strict=True
    ):
        found[row] = tuple(colour)
    return found


def _grouped(
    axes: Axes, points: Floats, groups: Groups, size: float, level: float | None
) -> None:
    """Points of each label, and the ellipse of a normal fitted to three or more of them."""
    for i, (name, chosen) in enumerate(groups.items()):
        colour, marker = (BLUE, "o") if not name else colour_and_marker(i)
        look: dict[str, Any] = {"s": size, "c": colour, "marker": marker, "alpha": 0.7}
        own = points[chosen]
        axes.scatter(own[:, 0], own[:, 1], linewidths=0, label=plain(name), **look)
        if level is not None and name and len(own) > 2:
            outline: dict[str, Any] = {"fill": False, "edgecolor": colour}
            mean = own.mean(0)
            axes.add_patch(
                normal_ellipse(mean, np.cov(own.T), level, linewidth=1.4, **outline)
            )


def _row_ellipses(
    axes: Axes, points: Floats, scale: Floats, level: float, colours: list[Any]
) -> None:
    """The ellipses of q(z | x) of some rows, spread over all of them."""
    count = min(MOST_ELLIPSES, len(points))
    for row in np.linspace(0, len(points) - 1, count).astype(int):
        look: dict[str, Any] = {"fill": False, "linewidth": 0.8, "alpha": 0.5}
        covariance = np.diag(np.square(scale[row]))
        axes.add_patch(
            normal_ellipse(
                points[row], covariance, level, edgecolor=colours[row], **look
            )
        )
