"""The ELBO and its two terms over the epochs of a training run."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.figure_style import BLUE, GREY, ORANGE

Floats = npt.NDArray[np.float64]
History = Sequence[Mapping[str, float]]
NEEDED = ("epoch", "elbo", "rate", "distortion")
REACH = 3
"""Interquartile ranges beyond the quartiles of a curve up to which it is shown."""


class Line(NamedTuple):
    """How a value of the history is drawn."""

    label: str
    colour: str
    style: str = "-"


ELBO = {
    "elbo": Line("train", BLUE),
    "val_elbo": Line("validation", ORANGE),
}
TERMS = {
    "distortion": Line("distortion, train", ORANGE),
    "val_distortion": Line("distortion, validation", ORANGE, ":"),
    "rate": Line("rate, train", BLUE),
    "val_rate": Line("rate, validation", BLUE, ":"),
}


def learning_curve(history: History, *, best_epoch: int | None = None) -> Figure:
    """Draw the ELBO (left), the rate and the distortion (right) over the epochs.

    The height shows the bulk of each curve: what the first epochs reach far away from it is cut
    off.

    Arguments:
        history: a record for each epoch with `epoch`, `elbo`, `rate`, `distortion` in nats per row,
            and perhaps `val_elbo`, `val_rate`, `val_distortion`.
        best_epoch: the epoch to mark.

    Returns:
        The figure.

    Raises:
        ValueError: when there is no record, one lacks a value, or none is of the best epoch.

    Example:
        >>> record = {"elbo": -9.0, "rate": 4.0, "distortion": 5.0}
        >>> records = [{"epoch": epoch, **record} for epoch in range(1, 9)]
        >>> [axes.get_title() for axes in learning_curve(records, best_epoch=8).axes]
        ['ELBO', 'rate and distortion']
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    elbo_curve(left, history, best_epoch=best_epoch).set_title("ELBO")
    terms_curve(right, history, best_epoch=best_epoch).set_title("rate and distortion")
    return figure


def elbo_curve(axes: Axes, history: History, *, best_epoch: int | None = None) -> Axes:
    """Draw the ELBO over the epochs, as `learning_curve` does, on given axes.

    Example:
        >>> records = [{"epoch": 1, "elbo": -9.0, "rate": 4.0, "distortion": 5.0}]
        >>> elbo_curve(Figure().add_subplot(), records).get_ylabel()
        'nats per row'
    """
    return _panel(axes, history, ELBO, best_epoch)


def terms_curve(axes: Axes, history: History, *, best_epoch: int | None = None) -> Axes:
    """Draw the rate and the distortion over the epochs on given axes.

    Example:
        >>> records = [{"epoch": 1, "elbo": -9.0, "rate": 4.0, "distortion": 5.0}]
        >>> [line.get_label() for line in terms_curve(Figure().add_subplot(), records).lines]
        ['distortion, train', 'rate, train']
    """
    return _panel(axes, history, TERMS, best_epoch)


def _check(history: History, best_epoch: int | None) -> None:
    if not history:
        raise ValueError(
            "history: expected at least one record, got none; train for one epoch or more"
        )
    for i, record in enumerate(history):
        missing = [name for name in NEEDED if name not in record]
        if missing:
            raise ValueError(
                f"history[{i}]: expected epoch, elbo, rate, distortion, got no {missing}; add them"
            )
    epochs = [record["epoch"] for record in history]
    if best_epoch is not None and best_epoch not in epochs:
        raise ValueError(
            f"best_epoch: expected one of {epochs[0]} to {epochs[-1]}, got {best_epoch}; correct it"
        )


def _panel(
    axes: Axes,
    history: History,
    lines: Mapping[str, Line],
    best_epoch: int | None,
) -> Axes:
    _check(history, best_epoch)
    if best_epoch is not None:
        label = f"best epoch ({best_epoch})"
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle="--", label=label)
    _curves(axes, history, lines)
    axes.set(xlabel="epoch", ylabel="nats per row")
    return axes


def _curves(axes: Axes, history: History, lines: Mapping[str, Line]) -> None:
    """Draw the values that the records have, and set the height to their bulk."""
    epochs = [record["epoch"] for record in history]
    known: list[Floats] = []
    for name, (label, colour, style) in lines.items():
        values = np.array(
            [record.get(name, np.nan) for record in history], dtype=np.float64
        )
        finite = values[np.isfinite(values)]
        if not finite.size:
            continue
        known.append(finite)
        marker = (
            "." if len(finite) <= 12 else None
        )  # a short curve may have single points
        axes.plot(
            epochs, values, label=label, color=colour, linestyle=style, marker=marker
        )
    axes.xaxis.set_major_locator(
        MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )
    if known:
        axes.legend(edgecolor="none")
        axes.set_ylim(*_bulk(known))


def _bulk(curves: Sequence[Floats]) -> tuple[float, float]:
    """The range of the curves, up to `REACH` interquartile ranges of the widest of them."""
    quartiles = np.array([np.quantile(values, (0.25, 0.75)) for values in curves])
    reach = REACH * np.diff(quartiles).max()
    lower, upper = quartiles.T
    lowest = min(values.min() for values in curves)
    highest = max(values.max() for values in curves)
    low = max(lower.min() - reach, lowest)
    high = min(upper.max() + reach, highest)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
