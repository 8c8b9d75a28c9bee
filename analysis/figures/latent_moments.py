"""The aggregate posterior and the prior of all dimensions of z, side by side."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vae.figure_style import BLUE, GREY, legend_above

__all__ = ["aggregate_moments"]


def aggregate_moments(
    axes: Axes,
    mean: npt.ArrayLike,
    scale: npt.ArrayLike,
    prior_mean: npt.ArrayLike,
    prior_scale: npt.ArrayLike,
) -> Axes:
    """Draw mean ± sd of the aggregate posterior q(z) in each dimension over those of the prior.

    A bar beyond the grey box, or one that leaves much of it empty, is a dimension in which samples
    from the prior are unlike the codes of rows.

    Arguments:
        axes: to draw on.
        mean, scale: of q(z) = (1/n) Σᵢ q(z | xᵢ), (latent_dim,).
        prior_mean, prior_scale: of p(z), (latent_dim,).

    Returns:
        The axes.

    Raises:
        ValueError: other shapes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = aggregate_moments(Figure().add_subplot(), [0.1, 0], [1, 0.9], [0, 0], [1, 1])
        >>> [float(box.get_height()) for box in axes.patches]
        [2.0, 2.0]
    """
    arrays = [np.asarray(one, float) for one in (mean, scale, prior_mean, prior_scale)]
    if arrays[0].ndim != 1 or len({one.shape for one in arrays}) > 1:
        raise ValueError(
            f"aggregate_moments: expected four vectors of one length, got shapes "
            f"{[one.shape for one in arrays]}; pass those of one latent_use"
        )
    own_mean, own_scale, loc, sd = arrays
    at = np.arange(len(own_mean))
    look: dict[str, Any] = {"color": GREY, "alpha": 0.3, "label": "prior p(z)"}
    axes.bar(at, 2 * sd, 0.8, bottom=loc - sd, **look)
    look = {"color": BLUE, "fmt": "o", "markersize": 4}
    look["capsize"] = 2 if len(at) <= 20 else 0
    axes.errorbar(at, own_mean, own_scale, label="aggregate q(z)", **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set(xlabel="latent dimension", ylabel="z: mean ± sd")
    legend_above(axes, columns=2)
    return axes
