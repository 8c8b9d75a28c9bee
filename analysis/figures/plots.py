"""Plots of results: arrays in, a matplotlib `Figure` out; no pyplot and no global state."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.images import guess_image_shape, image_grid, reconstructions
from pyro_vae.analysis.figures.labels import by_label
from pyro_vae.atomic_files import written_whole

__all__ = [
    "guess_image_shape",
    "image_grid",
    "latent_scatter",
    "learning_curve",
    "marginals",
    "reconstructions",
    "save_figure",
]

Floats = npt.NDArray[np.float64]

# Ten colours told apart with any kind of colour vision (Petroff, Accessible color sequences for
# data visualization, 2021); each has a marker too. The pair and the grey are Okabe and Ito's.
_COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
_MARKERS = "os^DvP*X<>"
_FIRST, _SECOND, _MARK = "#0072b2", "#d55e00", "#666666"


def latent_scatter(
    codes: npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    explained: npt.ArrayLike | None = None,
) -> Figure:
    """Draw codes: a histogram of one dimension, a scatter of two, the first two principal
    components of more.

    Arguments:
        codes: A code a row, such as the posterior mean, (n, d).
        labels: One a row, (n,), names or numbers: colour, marker and legend; see `by_label`.
        explained: Shares of the variance to write at the axes, for codes that are principal
            components already.

    Returns:
        The figure.

    Raises:
        ValueError: When the codes are no finite matrix, or the labels not one a row.

    Example:
        >>> figure = latent_scatter(np.random.default_rng(0).normal(size=(100, 8)), labels=np.arange(100) % 3)
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
    bins = np.histogram_bin_edges(points[:, 0], bins=40)
    size = float(np.clip(24000 / len(points), 4, 30))
    handles: list[Any] = []
    for i, chosen in enumerate(groups.values()):
        colour, marker = _COLOURS[i % 10], _MARKERS[(i + i // 10) % 10]
        if points.shape[1] == 1:
            drawn: Any = axes.hist(
                points[chosen, 0], list(bins), histtype="step", linewidth=1.6, color=colour
            )[2]
            handles.append(drawn[0])
        else:
            x, y = points[chosen].T
            handles.append(
                axes.scatter(x, y, s=size, c=colour, marker=marker, linewidths=0, alpha=0.8)
            )
            axes.set_aspect("equal", adjustable="datalim")
    if labels is not None:
        columns, scale = math.ceil(len(groups) / 20), math.sqrt(40 / size)
        where: dict[str, Any] = {
            "loc": "outside right upper",
            "ncols": columns,
            "markerscale": scale,
        }
        legend = figure.legend(
            handles, [_short(name) for name in groups], frameon=False, title="label", **where
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a label is no formula, whatever its characters
    return figure


def learning_curve(
    history: Sequence[Mapping[str, float]], *, best_epoch: int | None = None
) -> Figure:
    """Draw the ELBO (left), the rate and the distortion (right) over the epochs.

    The height shows each curve's bulk: what the first epochs reach far away from it is cut off.

    Arguments:
        history: A record an epoch with `epoch`, `elbo`, `rate`, `distortion` in nats per row, and
            perhaps `val_elbo`, `val_rate`, `val_distortion`.
        best_epoch: The epoch to mark.

    Returns:
        The figure.

    Raises:
        ValueError: When there is no record, one lacks a value, or none is of the best epoch.

    Example:
        >>> records = [{"epoch": i, "elbo": -9 - 9 / i, "rate": 4, "distortion": 5 + 9 / i} for i in range(1, 9)]
        >>> [axes.get_title() for axes in learning_curve(records, best_epoch=8).axes]
        ['ELBO', 'rate and distortion']
    """
    _check_history(history, best_epoch)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    elbo = {"elbo": ("train", _FIRST, "-"), "val_elbo": ("validation", _SECOND, "-")}
    terms = {
        "distortion": ("distortion, train", _SECOND, "-"),
        "val_distortion": ("distortion, validation", _SECOND, ":"),
    }
    terms |= {"rate": ("rate, train", _FIRST, "-"), "val_rate": ("rate, validation", _FIRST, ":")}
    for axes, title, lines in ((left, "ELBO", elbo), (right, "rate and distortion", terms)):
        if best_epoch is not None:
            axes.axvline(
                best_epoch,
                color=_MARK,
                linewidth=1,
                linestyle="--",
                label=f"best epoch ({best_epoch})",
            )
        _curves(axes, history, lines)
        axes.set(title=title, xlabel="epoch", ylabel="nats per row")
    return figure


def marginals(
    data: npt.ArrayLike, samples: npt.ArrayLike, *, columns: Sequence[str] | None = None
) -> Figure:
    """Draw the histogram of each column of a table, data against samples, for the first 16 columns.

    Both have the same bins, which cover the data: what the model draws beyond them counts in the
    outermost ones. Missing values (nan) are left out.

    Arguments:
        data: The table, (n, d).
        samples: Rows drawn from the model, (m, d).
        columns: The names of the columns, d of them.

    Returns:
        The figure.

    Raises:
        ValueError: When the tables are not two matrices with the same columns, or a name is
            missing.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> len(marginals(x[:100], x[100:], columns=["age", "height", "weight"]).axes)
        3
    """
    first, second = np.asarray(data, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if (
        first.ndim != 2
        or second.ndim != 2
        or first.shape[1] != second.shape[1]
        or not first.size
        or not second.size
    ):
        raise ValueError(
            f"marginals: expected shapes (n, d) and (m, d), got {first.shape} and {second.shape}; "
            "flatten rows"
        )
    names = [f"column {i}" for i in range(first.shape[1])] if columns is None else list(columns)
    if len(names) != first.shape[1]:
        raise ValueError(
            f"columns: expected {first.shape[1]} names, got {len(names)}: {names}; give one a "
            "column"
        )
    count = min(16, len(names))
    across = min(4, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(max(4.0, 2.6 * across), 1.9 * down + 0.7), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    for i, axes in enumerate(panels):
        if i < count:
            _marginal(axes, first[:, i], second[:, i], names[i])
        else:
            axes.remove()
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=2, frameon=False)
    figure.supylabel("share of rows", fontsize=10)
    if count < len(names):
        figure.supxlabel(f"the first {count} of {len(names)} columns", fontsize=10)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG with 120 dots per inch, whole or not at all.

    Arguments:
        figure: The figure.
        path: The file, which ends in `.png`; one of that name is replaced.

    Raises:
        ValueError: When the name ends otherwise.
        FileNotFoundError: When the folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(latent_scatter(np.zeros((3, 1))), f"{folder}/codes.png")
    """
    if not str(path).lower().endswith(".png"):
        raise ValueError(
            f"path: expected a name that ends in .png, got {str(path)!r}; figure.savefig writes "
            "other kinds"
        )
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _two_dimensions(codes: Floats, explained: npt.ArrayLike | None) -> tuple[Floats, list[str]]:
    """At most two columns and the names of two axes."""
    shares = None if explained is None else np.atleast_1d(np.asarray(explained, dtype=np.float64))
    if codes.shape[1] > 2:
        centred = codes - codes.mean(axis=0)
        directions, variances, _ = np.linalg.svd(centred.T @ centred)
        directions = directions * np.sign(
            directions[np.abs(directions).argmax(axis=0), range(len(directions))]
        )
        codes = centred @ directions[:, :2]
        shares = variances / (variances.sum() or 1.0) if shares is None else shares
    count = codes.shape[1]
    names = [f"latent dimension {i + 1}" for i in range(count)]
    if shares is not None:
        if len(shares) < count:
            raise ValueError(
                f"explained: expected {count} shares of the variance, got {len(shares)}; give one "
                "an axis"
            )
        names = [
            f"principal component {i + 1} ({100 * shares[i]:.0f} % of the variance)"
            for i in range(count)
        ]
    return codes, names if count == 2 else [*names, "rows"]


def _check_history(history: Sequence[Mapping[str, float]], best_epoch: int | None) -> None:
    if not history:
        raise ValueError(
            "history: expected at least one record, got none; train for one epoch or more"
        )
    for i, record in enumerate(history):
        missing = [name for name in ("epoch", "elbo", "rate", "distortion") if name not in record]
        if missing:
            raise ValueError(
                f"history[{i}]: expected epoch, elbo, rate, distortion, got no {missing}; add them"
            )
    epochs = [record["epoch"] for record in history]
    if best_epoch is not None and best_epoch not in epochs:
        raise ValueError(
            f"best_epoch: expected one of {epochs[0]} to {epochs[-1]}, got {best_epoch}; correct it"
        )


def _curves(
    axes: Axes, history: Sequence[Mapping[str, float]], lines: Mapping[str, tuple[str, str, str]]
) -> None:
    """Draw the values that the records have, and set the height to their bulk."""
    epochs = [record["epoch"] for record in history]
    curves = {
        name: np.array([record.get(name, np.nan) for record in history], dtype=np.float64)
        for name in lines
    }
    known = {
        name: values[np.isfinite(values)]
        for name, values in curves.items()
        if np.isfinite(values).any()
    }
    for name in known:
        label, colour, style = lines[name]
        marker = "." if len(known[name]) <= 12 else None
        axes.plot(epochs, curves[name], label=label, color=colour, linestyle=style, marker=marker)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if known:
        axes.legend(edgecolor="none")
        axes.set_ylim(*_bulk(list(known.values())))


def _bulk(curves: Sequence[Floats]) -> tuple[float, float]:
    """The range of the curves, up to three interquartile ranges (of the widest) beyond their
    quartiles.
    """
    quartiles = np.array([np.quantile(values, (0.25, 0.75)) for values in curves])
    reach = 3 * np.diff(quartiles).max()
    low = max(quartiles[:, 0].min() - reach, min(values.min() for values in curves))
    high = min(quartiles[:, 1].max() + reach, max(values.max() for values in curves))
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _edges(data: Floats) -> Floats:
    """The edges of bins over the data: one a number for counts of a small range, else ten to
    thirty.
    """
    low, high = data.min(), data.max()
    if np.array_equal(data, np.round(data)) and high - low <= 40:
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 1)
    return np.linspace(
        low, high if high > low else low + 1, 1 + int(np.clip(math.isqrt(data.size), 10, 30))
    )


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _marginal(axes: Axes, data: Floats, samples: Floats, name: str) -> None:
    """One panel: the data filled, the samples as a line."""
    data, samples = data[np.isfinite(data)], samples[np.isfinite(samples)]
    axes.set_title(_short(name), fontsize=10, parse_math=False)
    axes.tick_params(labelsize=8)
    edges = _edges(data if data.size else np.zeros(1))
    if edges[1] - edges[0] == 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    for values, label, fill, colour in (
        (data, "data", True, _FIRST),
        (samples, "samples", False, _SECOND),
    ):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        shares = counts / max(len(values), 1)
        axes.stairs(
            shares,
            edges,
            label=label,
            fill=fill,
            color=colour,
            alpha=0.45 if fill else 1,
            linewidth=1.5,
        )
