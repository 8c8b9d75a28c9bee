"""What each dimension of z does to a row: E[x | z] along it, the others at their mean."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from pyro_vae.analysis.figures.latent_axes import traversal
from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.data.columns import CATEGORIES
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods.base import representative
from pyro_vae.page.html import figure, grid
from pyro_vae.page.pictures import images, plot
from pyro_vae.page.subject import Subject

STEPS = 7
ENDS = (0.02, 0.98)
"""The quantiles of q(z) between which a dimension is varied."""


def traversals(subject: Subject, codes: np.ndarray, dimensions: np.ndarray) -> str:
    """A line of pictures for each dimension, or the columns of a table that change most.

    Arguments:
        subject: whose model it is.
        codes: draws of the aggregate posterior q(z), (draws, latent_dim).
        dimensions: which are varied.
    """
    z = _along(codes, dimensions)
    x = _decoded(subject, z.reshape(-1, z.shape[-1])).reshape(*z.shape[:2], -1)
    if subject.image_shape is not None:
        return grid([_pictures(subject, x, dimensions)], "wide")
    numbers = [i for i in range(x.shape[-1]) if subject.kind(i) not in CATEGORIES]
    if not numbers:
        return ""
    return grid(
        _lines(subject, z[i, :, d], x[i][:, numbers], numbers, int(d))
        for i, d in enumerate(dimensions)
    )


def _along(codes: np.ndarray, dimensions: np.ndarray) -> np.ndarray:
    """Codes of which one dimension is varied, (dimensions, STEPS, latent_dim)."""
    z = np.tile(codes.mean(0), (len(dimensions), STEPS, 1))
    for i, d in enumerate(dimensions):
        low, high = np.quantile(codes[:, d], ENDS)
        z[i, :, d] = np.linspace(float(low), float(high), STEPS)
    return z


def _decoded(subject: Subject, z: np.ndarray) -> np.ndarray:
    """E[x | z] of some codes, (codes, D)."""
    vae = subject.vae
    placement = placement_of(vae)
    with evaluation(vae):
        given = torch.tensor(z, dtype=placement.dtype, device=placement.device)
        mean = as_numpy(representative(vae.likelihood(given)))
    return mean.reshape(len(z), -1).astype(np.float64)


def _pictures(subject: Subject, x: np.ndarray, dimensions: np.ndarray) -> str:
    assert subject.image_shape is not None
    names = ", ".join(map(str, dimensions))
    rows = x.reshape(-1, x.shape[-1])
    alt = f"E[x | z] along dimensions {names} of z, one below the other"
    picture = images(
        rows, alt, image_shape=subject.image_shape, columns=STEPS, limits=subject.limits
    )
    caption = (
        f"E[x | z] along dimensions {names}, one below the other, from the 2 % to the 98 % "
        "quantile of q(z); the others are at their mean."
    )
    return figure(picture, caption)


def _lines(
    subject: Subject, z: np.ndarray, x: np.ndarray, numbers: list[int], dimension: int
) -> str:
    """The columns of numbers that change most; a category has no mean."""
    names = [subject.names[i] for i in numbers]
    scale = np.nanstd(subject.flat[:, numbers], axis=0)

    def draw(axes: Axes) -> Axes:
        how: dict[str, Any] = {"scale": scale, "dimension": dimension}
        return traversal(axes, z, x, columns=names, **how)

    alt = f"change of the columns that change most along dimension {dimension} of z"
    caption = f"E[x | z] of the columns that change most along dimension {dimension}."
    return figure(plot(draw, alt, height=2.9), caption)
