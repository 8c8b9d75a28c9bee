"""A guide beside draws of NUTS: shifts and widths of latent variables, and their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from pyro_vae.analysis.figures.names import name_ticks, plain
from pyro_vae.analysis.posterior_checks.limits import RATIO, SHIFT
from pyro_vae.figure_style import BLUE, GREY, ORANGE, colour_and_marker, legend_above

__all__ = ["guide_agreement", "guide_intervals"]

Floats = npt.NDArray[np.float64]
HALF_90 = 1.645
"""Standard deviations from the mean to the ends of the central 90 % of a normal."""
MOST = 14
LOOKS = ((BLUE, "o"), (ORANGE, "^"))
RATIOS = (0.1, 0.2, 0.5, 1, 2, 5, 10)


class HasDifference(Protocol):
    """Shifts and ratios with their standard errors, arrays of one shape."""

    @property
    def shift(self) -> Floats: ...
    @property
    def shift_se(self) -> Floats: ...
    @property
    def ratio(self) -> Floats: ...
    @property
    def ratio_se(self) -> Floats: ...


def guide_agreement(
    axes: Axes,
    differences: Mapping[str, HasDifference],
    *,
    shift: float = SHIFT,
    ratio: float = RATIO,
) -> Axes:
    """Draw how far means and widths of a guide are from those of NUTS, for each latent variable.

    shift = (mean - NUTS mean) / NUTS sd        ratio = sd / NUTS sd, below 1 is too narrow

    Arguments:
        axes: to draw on.
        differences: name of a distribution -> its shifts and ratios with standard errors, such as
            `{"guide": audit.guide, "resampled": audit.resampled}`.
        shift, ratio: the ends of the box in which they agree.

    Returns:
        The axes; bars are one standard error.

    Raises:
        ValueError: nothing to draw.

    Example:
        >>> from types import SimpleNamespace
        >>> from matplotlib.figure import Figure
        >>> one = np.ones(3)
        >>> found = {"shift": 0 * one, "ratio": one, "shift_se": one, "ratio_se": 0.1 * one}
        >>> axes = guide_agreement(Figure().add_subplot(), {"guide": SimpleNamespace(**found)})
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['agree', 'guide']
    """
    if not differences:
        raise ValueError(
            "differences: expected at least one distribution, got none; pass {'guide': ...}"
        )
    box = (-shift, 1 / ratio)
    look: dict[str, Any] = {"color": GREY, "alpha": 0.25, "linewidth": 0}
    height = ratio - 1 / ratio
    axes.add_patch(Rectangle(box, 2 * shift, height, label="agree", **look))
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.axhline(1, color=GREY, linewidth=0.8)
    for i, (name, found) in enumerate(differences.items()):
        colour, marker = LOOKS[i] if i < len(LOOKS) else colour_and_marker(i)
        at = (np.ravel(found.shift), np.ravel(found.ratio))
        errors = (np.ravel(found.shift_se), np.ravel(found.ratio_se))
        look = {"color": colour, "marker": marker, "linestyle": "", "elinewidth": 0.8}
        axes.errorbar(
            *at,
            xerr=errors[0],
            yerr=_within(at[1], errors[1]),
            markersize=4,
            label=plain(name),
            **look,
        )
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.7), max(high, 1.4))
    axes.yaxis.set_major_locator(FixedLocator(RATIOS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="mean - mean of NUTS, in sd of NUTS", ylabel="sd / sd of NUTS")
    legend_above(axes, columns=2)
    return axes


def _within(ratio: Floats, error: Floats) -> Floats:
    """Ends of bars on a logarithmic axis, which has no zero."""
    return np.stack([np.minimum(error, 0.9 * ratio), error])


def guide_intervals(
    axes: Axes,
    names: Sequence[str],
    nuts: tuple[npt.ArrayLike, npt.ArrayLike],
    guide: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    most: int = MOST,
) -> Axes:
    """Draw mean ± 1.645 sd of each latent variable, by NUTS and by the guide, side by side.

    That is the central 90 % of a normal distribution with this mean and sd. Where there are more
    variables than fit, those are drawn whose intervals differ most.

    Arguments:
        axes: to draw on.
        names: of the variables, (n,).
        nuts, guide: mean and standard deviation of each, (n,) and (n,).
        most: variables that are drawn.

    Returns:
        The axes.

    Raises:
        ValueError: other lengths.

    Example:
        >>> from matplotlib.figure import Figure
        >>> found = ([0.0, 1.0], [1.0, 1.0]), ([0.1, 2.0], [0.5, 1.0])
        >>> axes = guide_intervals(Figure().add_subplot(), ["z[0]", "z[1]"], *found, most=1)
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['z[1]']
    """
    means, sds = (np.array([one[i] for one in (nuts, guide)], float) for i in (0, 1))
    if means.shape != sds.shape or means.shape != (2, len(names)):
        raise ValueError(
            f"guide_intervals: expected {len(names)} means and standard deviations, got shapes "
            f"{means.shape[1:]} and {sds.shape[1:]}; give one for each name"
        )
    ends = np.stack([means - HALF_90 * sds, means + HALF_90 * sds])
    apart = np.abs(ends[:, 1] - ends[:, 0]).max(0) / sds[0]
    chosen = np.sort(np.argsort(-apart, kind="stable")[:most])
    at = np.arange(len(chosen))[::-1]
    for i, (label, colour, marker) in enumerate(
        (("NUTS", GREY, "s"), ("guide", BLUE, "o"))
    ):
        y = at + 0.16 - 0.32 * i
        axes.hlines(y, *ends[:, i, chosen], color=colour, linewidth=1.8, label=label)
        axes.plot(means[i, chosen], y, marker, color=colour, markersize=4)
    name_ticks(axes.yaxis, at, [names[i] for i in chosen])
    axes.set(xlabel="z: mean ± 1.645 sd", ylabel="latent variable")
    axes.set_ylim(-0.7, len(chosen) - 0.3)
    legend_above(axes, columns=2)
    return axes
