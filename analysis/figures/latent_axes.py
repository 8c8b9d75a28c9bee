"""The dimensions of z: how many nats each carries, and the aggregate posterior beside the prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.ecdf import known
from pyro_vae.analysis.figures.histograms import shares
from pyro_vae.analysis.figures.names import plain
from pyro_vae.figure_style import (
    BLUE,
    GREY,
    colour_and_marker,
    legend_above,
)


def rate_by_dimension(axes: Axes, rate: npt.ArrayLike, active: npt.ArrayLike) -> Axes:
    """Draw KL(q(z_d | x) ‖ p(z_d)), the mean over rows, of each dimension, the largest first.

    Arguments:
        axes: to draw on.
        rate: of each dimension in nats per row, (latent_dim,); nan has no bar.
        active: which dimensions are active units, (latent_dim,).

    Returns:
        The axes.

    Raises:
        ValueError: the two have other shapes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = rate_by_dimension(Figure().add_subplot(), [0.1, 2.0, 1.0], [False, True, True])
        >>> [float(bar.get_height()) for bar in axes.patches]
        [2.0, 1.0, 0.1]
    """
    nats = np.asarray(rate, dtype=np.float64)
    is_active = np.asarray(active, dtype=bool)
    if nats.ndim != 1 or nats.shape != is_active.shape:
        raise ValueError(
            f"rate_by_dimension: expected two vectors of one length, got shapes {nats.shape} and "
            f"{is_active.shape}; pass both of one latent_use"
        )
    order = np.argsort(-np.nan_to_num(nats, nan=-np.inf), kind="stable")
    at = np.arange(len(nats))
    for chosen, colour, hatch, name in (
        (is_active[order], BLUE, "", "active"),
        (~is_active[order], GREY, "////", "not active"),
    ):
        look: dict[str, Any] = {"color": colour, "alpha": 0.75, "hatch": hatch}
        if chosen.any():
            label = f"{name} ({chosen.sum()})"
            axes.bar(at[chosen], nats[order][chosen], 0.8, label=label, **look)
    if len(nats) <= 16:
        axes.set_xticks(at, [str(d) for d in order])
    else:
        axes.set_xticks([])
    axes.set(xlabel="latent dimension, by rate", ylabel="nats per row")
    axes.legend(edgecolor="none", framealpha=0)
    return axes


def aggregate_posterior(
    axes: Axes,
    codes: npt.ArrayLike,
    prior: npt.ArrayLike,
    *,
    dimension: int | None = None,
) -> Axes:
    """Draw one dimension of q(z) = (1/n) Σᵢ q(z | xᵢ) and of the prior, as histograms of draws.

    What the prior has and q(z) hasn't is where samples are unlike any row.

    Arguments:
        axes: to draw on.
        codes: draws of q(z), a few for each row, (n,).
        prior: draws of the prior, (m,).
        dimension: its number, for the label.

    Returns:
        The axes.

    Raises:
        ValueError: no finite draw.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.random.default_rng(0).normal(size=400)
        >>> axes = aggregate_posterior(Figure().add_subplot(), z[:200], z[200:], dimension=3)
        >>> axes.get_xlabel(), [patch.get_label() for patch in axes.patches]
        ('z, dimension 3', ['prior p(z)', 'aggregate posterior q(z)'])
    """
    own = known(codes, "codes")
    other = known(prior, "prior")
    both = np.concatenate([own, other])
    low, high = (float(np.quantile(both, level)) for level in (0.001, 0.999))
    edges = np.linspace(low, high if high > low else low + 1, 31)
    look: dict[str, Any] = {"fill": True, "color": GREY, "alpha": 0.35}
    width = np.diff(edges)
    axes.stairs(shares(other, edges) / width, edges, label="prior p(z)", **look)
    look = {"fill": False, "color": BLUE, "linewidth": 1.6}
    label = "aggregate posterior q(z)"
    axes.stairs(shares(own, edges) / width, edges, label=label, **look)
    which = "z" if dimension is None else f"z, dimension {dimension}"
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set(xlabel=which, ylabel="density")
    return axes


def traversal(
    axes: Axes,
    z: npt.ArrayLike,
    means: npt.ArrayLike,
    *,
    columns: Sequence[str],
    scale: npt.ArrayLike,
    dimension: int | None = None,
    most: int = 4,
) -> Axes:
    """Draw E[x | z] of the columns that change most where one dimension of z is varied.

    Arguments:
        axes: to draw on.
        z: the values of the dimension in order, (steps,).
        means: E[x | z] for each of them, (steps, D); a column with nan is left out.
        columns: the names of the columns, D of them.
        scale: the standard deviation of each column, in which the change is measured, (D,).
        dimension: its number, for the label.
        most: columns that are drawn.

    Returns:
        The axes.

    Raises:
        ValueError: arrays whose shapes don't agree, or no column with numbers.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.linspace(-2, 2, 5)
        >>> means = np.stack([z**2, 3 * z], 1)
        >>> how = {"columns": ["a", "b"], "scale": [1.0, 1.0]}
        >>> axes = traversal(Figure().add_subplot(), z, means, **how)
        >>> [line.get_label() for line in axes.lines]
        ['b', 'a']
    """
    at = np.asarray(z, dtype=np.float64)
    x = np.asarray(means, dtype=np.float64)
    unit = np.asarray(scale, dtype=np.float64)
    agree = x.shape == (len(at), len(columns)) == (len(at), len(unit))
    if not agree or not np.isfinite(x).all(0).any():
        raise ValueError(
            f"traversal: expected means with numbers of shape ({len(at)}, {len(columns)}), got "
            f"{x.shape} with a scale of shape {unit.shape}; pass one name and scale for each column"
        )
    change = (x - x.mean(0)) / np.where(unit > 0, unit, 1.0)
    reach = np.nan_to_num(np.ptp(change, axis=0), nan=-1.0)
    order = np.argsort(-reach, kind="stable")[:most]
    for column in order[reach[order] >= 0]:
        # of the column, so that it looks the same for each dimension
        colour, marker = colour_and_marker(int(column))
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
        axes.plot(at, change[:, column], label=plain(columns[column]), **look)
    which = "z" if dimension is None else f"z, dimension {dimension}"
    axes.set(xlabel=which, ylabel="change of E[x | z] in sd")
    legend_above(axes)
    return axes
