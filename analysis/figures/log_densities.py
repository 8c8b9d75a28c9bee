"""log p(x) of several sets of rows, and the reliability of each estimate."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.histograms import number_of_bins, shares
from pyro_vae.analysis.figures.names import plain
from pyro_vae.figure_style import (
    BLUE,
    GREY,
    ORANGE,
    colour_and_marker,
    legend_above,
)

DASHES = ("-", "--", ":", "-.")
FAR = 4
"""Interquartile ranges beyond the quartiles up to which rows have bins of their own."""


def log_p_histograms(axes: Axes, sets: Mapping[str, npt.ArrayLike]) -> Axes:
    """Draw log p(x) of several sets of rows as histograms with common bins, each of area 1.

    There are √n bins, from 8 to 60, with n the rows of the largest set. Rows further than four
    interquartile ranges from the bulk of all are counted in the outermost bins.

    Arguments:
        axes: to draw on.
        sets: the name of a set -> log p(x) of its rows in nats, (n,); other numbers than finite
            ones are left out.

    Returns:
        The axes.

    Raises:
        ValueError: no set, or one without a finite number.

    Example:
        >>> from matplotlib.figure import Figure
        >>> log_p = np.random.default_rng(0).normal(-80, 5, size=300)
        >>> axes = log_p_histograms(Figure().add_subplot(), {"held out": log_p})
        >>> axes.get_xlabel(), [text.get_text() for text in axes.get_legend().get_texts()]
        ('log p(x) in nats', ['held out (300)'])
    """
    numbers = {
        name: np.asarray(values, dtype=np.float64).ravel()
        for name, values in sets.items()
    }
    finite = {name: values[np.isfinite(values)] for name, values in numbers.items()}
    empty = [name for name, values in finite.items() if not values.size]
    if not finite or empty:
        raise ValueError(
            f"sets: expected finite numbers in each set, got none in {empty or 'no set at all'}; "
            "leave such sets out"
        )
    quartiles = np.array(
        [np.quantile(values, (0.25, 0.75)) for values in finite.values()]
    )
    reach = FAR * max(float(np.diff(quartiles).max()), 0.25)
    low = max(quartiles.min() - reach, min(values.min() for values in finite.values()))
    high = min(quartiles.max() + reach, max(values.max() for values in finite.values()))
    largest = max(len(values) for values in finite.values())
    bins = number_of_bins(largest, least=8, most=60)
    edges = np.linspace(low, max(high, low + 0.1), 1 + bins)
    for i, (name, values) in enumerate(finite.items()):
        colour = (BLUE, ORANGE, GREY)[i] if i < 3 else colour_and_marker(i)[0]
        look: dict[str, Any] = {"color": colour, "linestyle": DASHES[i % len(DASHES)]}
        label = f"{plain(name, 40)} ({len(values)})"
        density = shares(values, edges) / np.diff(edges)
        axes.stairs(density, edges, label=label, linewidth=1.6, **look)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set(xlabel="log p(x) in nats", ylabel="density", ylim=(0, None))
    legend_above(axes)
    return axes


def k_hat_by_row(axes: Axes, k_hat: npt.ArrayLike, limit: npt.ArrayLike) -> Axes:
    """Draw k-hat of each row, sorted, and the limit up to which its log p(x) is reliable.

    Arguments:
        axes: to draw on.
        k_hat: tail index of the importance weights of each row, (n,); nan is left out, and an
            infinite one drawn at the end of the range.
        limit: the largest reliable k-hat, one number or one for each row, (n,).

    Returns:
        The axes.

    Raises:
        ValueError: no row with a k-hat.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = k_hat_by_row(Figure().add_subplot(), [0.9, 0.1, 0.3], 0.7)
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['reliable (2)', 'not reliable (1)', 'limit']
    """
    k = np.asarray(k_hat, dtype=np.float64).ravel()
    each = np.broadcast_to(np.asarray(limit, dtype=np.float64), k.shape)
    is_known = ~np.isnan(k)
    if not is_known.any():
        raise ValueError(
            f"k_hat: expected a number for at least one row, got none among {k.size}; take 100 "
            "draws or more of each row"
        )
    k, each = k[is_known], each[is_known]
    order = np.argsort(k, kind="stable")
    at = np.empty(len(k))
    at[order] = np.arange(1, len(k) + 1)
    finite = k[np.isfinite(k)]
    ends = (min(finite.min(initial=0.0), -0.1), max(finite.max(initial=0.7), 0.8))
    shown = np.clip(k, *ends)
    is_reliable = k <= each
    size = float(np.clip(3000 / len(k), 4, 24))
    for chosen, colour, marker, name in (
        (is_reliable, BLUE, "o", "reliable"),
        (~is_reliable, ORANGE, "^", "not reliable"),
    ):
        look: dict[str, Any] = {"s": size, "color": colour, "marker": marker}
        if chosen.any():
            label = f"{name} ({chosen.sum()})"
            axes.scatter(at[chosen], shown[chosen], linewidths=0, label=label, **look)
    axes.step(
        np.sort(at), each[order], where="mid", color=GREY, linewidth=1, label="limit"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set(xlabel="rows, sorted by k-hat", ylabel="k-hat")
    legend_above(axes)
    return axes
