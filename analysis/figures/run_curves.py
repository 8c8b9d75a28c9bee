"""The ELBO of several training runs over their epochs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.analysis.figures.names import plain
from pyro_vae.figure_style import COLOURS, legend_above
from pyro_vae.training_curves import History

__all__ = ["elbo_of_runs"]

STYLES = ("-", "--", "-.", ":")
NAMED = 8
"""Runs that are named in the legend."""
FIRST = 0.1
"""Share of the epochs, the first ones, that may lie below the picture."""


def elbo_of_runs(axes: Axes, histories: Mapping[str, History]) -> Axes:
    """Draw the ELBO of each run, on validation rows where all have some.

    The first tenth of the epochs may lie below the picture.

    Arguments:
        axes: to draw on.
        histories: name of a run -> a record for each epoch with `epoch`, `elbo` in nats per row,
            and perhaps `val_elbo`.

    Returns:
        The axes.

    Raises:
        ValueError: no run, or one without an epoch.

    Example:
        >>> from matplotlib.figure import Figure
        >>> records = [{"epoch": 1, "elbo": -9.0}, {"epoch": 2, "elbo": -8.0}]
        >>> axes = elbo_of_runs(Figure().add_subplot(), {"seed 0": records})
        >>> axes.get_ylabel(), axes.lines[0].get_ydata().tolist()
        ('training ELBO, nats per row', [-9.0, -8.0])
    """
    empty = [name for name, history in histories.items() if not history]
    if not histories or empty:
        raise ValueError(
            f"histories: expected records of at least one epoch for each run, got none for "
            f"{empty or 'no run at all'}; fit it first"
        )
    every = [record for history in histories.values() for record in history]
    is_validated = all("val_elbo" in record for record in every)
    name = "val_elbo" if is_validated else "elbo"
    lowest: list[float] = []
    for i, (run, history) in enumerate(histories.items()):
        epochs = _column(history, "epoch")
        elbo = _column(history, name)
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.4}
        look["linestyle"] = STYLES[i % len(STYLES)]
        axes.plot(epochs, elbo, label=plain(run) if i < NAMED else "_", **look)
        lowest.append(np.nanmin(elbo[int(FIRST * len(elbo)) :]))
    top = max(np.nanmax(_column(history, name)) for history in histories.values())
    margin = 0.05 * (top - min(lowest)) or 0.5
    axes.set_ylim(min(lowest) - margin, top + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    rows = "validation" if is_validated else "training"
    axes.set(xlabel="epoch", ylabel=f"{rows} ELBO, nats per row")
    legend_above(axes, columns=2)
    return axes


def _column(history: History, name: str) -> npt.NDArray[np.float64]:
    return np.array([record[name] for record in history], dtype=np.float64)
