"""Codes in at most two dimensions."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vae.analysis.figures.labels import by_label
from pyro_vae.figure_style import colour_and_marker, short

Floats = npt.NDArray[np.float64]


def latent_scatter(
    codes: npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    explained: npt.ArrayLike | None = None,
) -> Figure:
    """Draw codes: a histogram of one dimension, or a scatter of two principal components.

    Two dimensions are drawn as they are.

    Arguments:
        codes: a code for each row, such as the posterior mean, (n, d).
        labels: one for each row, (n,), names or numbers: colour, marker and legend; see `by_label`.
        explained: shares of the variance to write at the axes, for codes that are principal
            components already.

    Returns:
        The figure.

    Raises:
        ValueError: when the codes are no finite matrix, or there is not one label for each row.

    Example:
        >>> codes = np.random.default_rng(0).normal(size=(100, 8))
        >>> figure = latent_scatter(codes, labels=np.arange(100) % 3)
        >>> figure.axes[0].get_xlabel()
        'principal component 1 (19 % of the variance)'
    """
    values = np.asarray(codes, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"codes: expected finite numbers of shape (n, d), got shape {values.shape}; drop other "
            "rows"
        )
    groups = by_label(labels, len(values))
    points, names = _two_dimensions(values, explained)
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot(xlabel=names[0], ylabel=names[1])
    size = float(np.clip(24000 / len(points), 4, 30))
    if points.shape[1] == 1:
        handles = _histograms(axes, points[:, 0], list(groups.values()))
    else:
        handles = _scatters(axes, points, list(groups.values()), size)
    if labels is not None:
        _legend(figure, handles, [short(name) for name in groups], size)
    return figure


def _histograms(
    axes: Axes, points: Floats, groups: list[npt.NDArray[np.bool_]]
) -> list[Any]:
    """A histogram for each group, with the same bins; its handles for the legend."""
    bins = list(np.histogram_bin_edges(points, bins=40))
    handles: list[Any] = []
    for i, chosen in enumerate(groups):
        colour, _ = colour_and_marker(i)
        look: dict[str, Any] = {"histtype": "step", "linewidth": 1.6, "color": colour}
        _, _, patches = axes.hist(points[chosen], bins, **look)
        drawn: Any = patches
        handles.append(drawn[0])
    return handles


def _scatters(
    axes: Axes, points: Floats, groups: list[npt.NDArray[np.bool_]], size: float
) -> list[Any]:
    """Points for each group, and their handles for the legend."""
    handles: list[Any] = []
    for i, chosen in enumerate(groups):
        x, y = points[chosen].T
        colour, marker = colour_and_marker(i)
        look: dict[str, Any] = {"s": size, "c": colour, "marker": marker}
        handles.append(axes.scatter(x, y, linewidths=0, alpha=0.8, **look))
        axes.set_aspect("equal", adjustable="datalim")
    return handles


def _legend(figure: Figure, handles: list[Any], names: list[str], size: float) -> None:
    look: dict[str, Any] = {
        "loc": "outside right upper",
        "ncols": math.ceil(len(names) / 20),
        "markerscale": math.sqrt(40 / size),
    }
    legend = figure.legend(handles, names, frameon=False, title="label", **look)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label is no formula, whatever its characters


def _two_dimensions(
    codes: Floats, explained: npt.ArrayLike | None
) -> tuple[Floats, list[str]]:
    """At most two columns and the names of two axes."""
    shares = (
        None
        if explained is None
        else np.atleast_1d(np.asarray(explained, dtype=np.float64))
    )
    if codes.shape[1] > 2:
        codes, variances = _principal_components(codes)
        if shares is None:
            shares = variances / (variances.sum() or 1.0)
    count = codes.shape[1]
    names = [f"latent dimension {i + 1}" for i in range(count)]
    if shares is not None:
        names = _component_names(shares, count)
    return codes, names if count == 2 else [*names, "rows"]


def _principal_components(codes: Floats) -> tuple[Floats, Floats]:
    """The first two principal components, (n, 2), and the variances of all up to a factor."""
    centred = codes - codes.mean(axis=0)
    directions, variances, _ = np.linalg.svd(centred.T @ centred)
    # the sign of a direction is free: its largest entry is positive here
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, range(len(directions))])
    return centred @ directions[:, :2], variances


def _component_names(shares: Floats, count: int) -> list[str]:
    if len(shares) < count:
        raise ValueError(
            f"explained: expected {count} shares of the variance, got {len(shares)}; give one for "
            "each axis"
        )
    percent = [100 * share for share in shares[:count]]
    return [
        f"principal component {i + 1} ({percent[i]:.0f} % of the variance)"
        for i in range(count)
    ]
