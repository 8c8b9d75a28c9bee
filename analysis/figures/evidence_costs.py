"""What an estimate of log p(x) costs and how good it is, and how far it is from its bounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.names import plain
from pyro_vae.figure_style import BLUE, GREY, ORANGE, colour_and_marker, legend_above

__all__ = ["gap_by_row", "gap_parts", "speed_accuracy"]

Floats = npt.NDArray[np.float64]


def speed_accuracy(
    axes: Axes,
    names: Sequence[object],
    seconds: npt.ArrayLike,
    log_marginal: npt.ArrayLike,
    se: npt.ArrayLike,
    trusted: npt.ArrayLike,
) -> Axes:
    """Draw mean log p(x) over seconds per row for several ways to estimate it: higher is closer.

    An estimate by importance sampling is low on average, so that of two for one model the higher
    one is closer to log p(x), up to its error. A marker is filled where at least 95 % of the rows
    are trusted, whose share is in the legend.

    Arguments:
        axes: to draw on.
        names: of the proposals, (n,).
        seconds: per row, (n,).
        log_marginal: mean log p(x) over the same rows, nats per row, (n,).
        se: its Monte Carlo standard error, (n,).
        trusted: share of rows with a k-hat below its limit; nan where that is not known, (n,).

    Returns:
        The axes; bars are two standard errors.

    Raises:
        ValueError: other lengths, or seconds that are not positive.

    Example:
        >>> from matplotlib.figure import Figure
        >>> found = [0.01, 0.1], [-81.0, -80.5], [0.05, 0.01], [0.3, 1.0]
        >>> axes = speed_accuracy(Figure().add_subplot(), ["guide", "refined"], *found)
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['guide: 30% trusted', 'refined: 100% trusted']
    """
    columns = [np.asarray(one, float) for one in (seconds, log_marginal, se, trusted)]
    if any(one.shape != (len(names),) for one in columns) or (columns[0] <= 0).any():
        raise ValueError(
            f"speed_accuracy: expected {len(names)} numbers of each and positive seconds, got "
            f"{[one.tolist() for one in columns[:1]]}; time each estimate"
        )
    for i, (name, second, mean, error, share) in enumerate(
        zip(names, *columns, strict=True)
    ):
        colour, marker = colour_and_marker(i)
        face = colour if share >= 0.95 else "white"
        known = "trust not known" if np.isnan(share) else f"{share:.0%} trusted"
        look: dict[str, Any] = {"color": colour, "markerfacecolor": face}
        label = f"{plain(name, 16)}: {known}"
        axes.errorbar(
            second, mean, 2 * error, marker=marker, ls="", label=label, **look
        )
    axes.set_xscale("log")
    low, high = columns[0].min(), columns[0].max()
    axes.set_xlim(low / 3, high * 3)
    axes.set(xlabel="seconds per row", ylabel="mean log p(x), nats per row")
    axes.margins(y=0.15)
    legend_above(axes)
    return axes


def gap_by_row(axes: Axes, gap: npt.ArrayLike, se: npt.ArrayLike) -> Axes:
    """Draw the distance between an upper and a lower estimate of log p(x), rows in its order.

    Arguments:
        axes: to draw on.
        gap: upper - lower of each row in nats, (n,).
        se: its standard error, (n,).

    Returns:
        The axes; bars are two standard errors.

    Raises:
        ValueError: no rows, or other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = gap_by_row(Figure().add_subplot(), [0.2, 0.1], [0.01, 0.01])
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('rows, sorted by gap', 'upper - lower bound, nats')
    """
    width, error = _pair(gap, se, "gap_by_row")
    order = np.argsort(width, kind="stable")
    at = np.arange(1, len(width) + 1)
    look: dict[str, Any] = {"color": BLUE, "elinewidth": 0.8, "label": "row, ± 2 se"}
    axes.errorbar(at, width[order], 2 * error[order], fmt="o", markersize=3, **look)
    mean = width.mean()
    axes.axhline(mean, color=ORANGE, ls="--", label=f"mean {mean:.3g}")
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set(xlabel="rows, sorted by gap", ylabel="upper - lower bound, nats")
    legend_above(axes, columns=2)
    return axes


def gap_parts(
    axes: Axes, approximation: npt.ArrayLike, amortization: npt.ArrayLike
) -> Axes:
    """Draw both parts of the gap between log p(x) and the ELBO of each row.

    Rows below the diagonal lose more by the family of the guide than by its encoder, those above
    it the reverse.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li, Duvenaud, 2018).

    Arguments:
        axes: to draw on.
        approximation: log p(x) - ELBO of the best member of the family, nats, (n,).
        amortization: ELBO of that member - ELBO of the guide, nats, (n,).

    Returns:
        The axes, with the means as a cross of ± 2 standard errors.

    Raises:
        ValueError: no rows, or other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = gap_parts(Figure().add_subplot(), [1.0, 3.0], [0.0, 1.0])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['row', 'equal parts', 'mean (2, 0.5), ± 2 se']
    """
    x, y = _pair(approximation, amortization, "gap_parts")
    size = float(np.clip(6000 / len(x), 4, 24))
    axes.scatter(x, y, s=size, color=BLUE, alpha=0.6, linewidths=0, label="row")
    means = (float(x.mean()), float(y.mean()))
    errors = [2 * _standard_error(each) for each in (x, y)]
    label = f"mean ({means[0]:.3g}, {means[1]:.3g}), ± 2 se"
    axes.errorbar(
        *means, yerr=errors[1], xerr=errors[0], fmt="D", color=ORANGE, label=label
    )
    look: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": "--"}
    axes.axline((0, 0), slope=1, **look)
    axes.plot([], [], label="equal parts", **look)
    axes.set(xlabel="approximation gap, nats", ylabel="amortization gap, nats")
    legend_above(axes)
    return axes


def _standard_error(values: Floats) -> float:
    """Of the mean; 0, which has no bar, for a single row."""
    n = len(values)
    return float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0


def _pair(
    first: npt.ArrayLike, second: npt.ArrayLike, caller: str
) -> tuple[Floats, Floats]:
    one = np.asarray(first, dtype=np.float64)
    other = np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or not one.size or one.shape != other.shape:
        raise ValueError(
            f"{caller}: expected one number for each row twice, got shapes {one.shape} and "
            f"{other.shape}; pass both of one result"
        )
    return one, other
