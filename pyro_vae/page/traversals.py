"""What each dimension of z does to a row: E[x | z] along it, the others at their mean."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from pyro_vae.analysis.contexts.naming import in_words
from pyro_vae.analysis.figures.latent_axes import traversal
from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.analysis.latent.one_context import from_standardised
from pyro_vae.data.columns import CATEGORIES
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods.base import representative
from pyro_vae.page.answers import Answers
from pyro_vae.page.html import figure, grid
from pyro_vae.page.pictures import images, plot
from pyro_vae.page.subject import Subject

STEPS = 7
ENDS = (0.02, 0.98)
"""The quantiles of q(z) between which a dimension is varied."""


def traversals(
    subject: Subject, answers: Answers, codes: np.ndarray, dimensions: np.ndarray
) -> str:
    """A line of pictures for each dimension, or the columns of a table that change most.

    Arguments:
        subject: whose model it is.
        answers: of the page, for the context in which codes are decoded: that of a typical row.
        codes: draws of the aggregate posterior, of z or of u, (draws, latent_dim).
        dimensions: which are varied.
    """
    where = ""
    context = None
    if answers.contexts is not None and subject.given is not None:
        typical = answers.contexts[answers.typical]
        context = torch.as_tensor(typical[None])
        where = f", decoded in the context of a typical row, {in_words(subject.given, typical)}"
    z, x = _decoded(subject, _along(codes, dimensions), context)
    if subject.image_shape is not None:
        return grid([_pictures(subject, x, dimensions, where)], "wide")
    numbers = [i for i in range(x.shape[-1]) if subject.kind(i) not in CATEGORIES]
    if not numbers:
        return ""
    return grid(
        _lines(subject, z[i, :, d], x[i][:, numbers], numbers, int(d), where)
        for i, d in enumerate(dimensions)
    )


def _along(codes: np.ndarray, dimensions: np.ndarray) -> np.ndarray:
    """Codes of which one dimension is varied, (dimensions, STEPS, latent_dim)."""
    z = np.tile(codes.mean(0), (len(dimensions), STEPS, 1))
    for i, d in enumerate(dimensions):
        low, high = np.quantile(codes[:, d], ENDS)
        z[i, :, d] = np.linspace(float(low), float(high), STEPS)
    return z


def _decoded(
    subject: Subject, codes: np.ndarray, context: Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """z of codes (..., latent_dim) in a context, and E[x | z], (..., D)."""
    vae = subject.vae
    placement = placement_of(vae)
    with evaluation(vae):
        flat = torch.as_tensor(codes.reshape(-1, codes.shape[-1])).to(
            placement.device, placement.dtype
        )
        if context is not None:
            context = context.to(placement.device, placement.dtype)
            flat = from_standardised(vae, flat, context)
            context = context.expand(len(flat), -1)
        mean = as_numpy(representative(vae.model.p_x(flat, context)))
    x = mean.reshape(*codes.shape[:-1], -1).astype(np.float64)
    return as_numpy(flat).astype(np.float64).reshape(codes.shape), x


def _pictures(
    subject: Subject, x: np.ndarray, dimensions: np.ndarray, where: str
) -> str:
    assert subject.image_shape is not None
    names = ", ".join(map(str, dimensions))
    rows = x.reshape(-1, x.shape[-1])
    mean = subject.mean_symbol
    alt = f"{mean} along dimensions {names} of z, one below the other"
    picture = images(
        rows, alt, image_shape=subject.image_shape, columns=STEPS, limits=subject.limits
    )
    caption = (
        f"{mean} along dimensions {names}, one below the other, from the 2 % to the 98 % "
        f"quantile of q(z); the others are at their mean{where}."
    )
    return figure(picture, caption)


def _lines(
    subject: Subject,
    z: np.ndarray,
    x: np.ndarray,
    numbers: list[int],
    dimension: int,
    where: str,
) -> str:
    """The columns of numbers that change most; a category has no mean."""
    names = [subject.names[i] for i in numbers]
    mean = subject.mean_symbol
    scale = np.nanstd(subject.flat[:, numbers], axis=0)

    def draw(axes: Axes) -> Axes:
        how: dict[str, Any] = {"scale": scale, "dimension": dimension}
        traversal(axes, z, x, columns=names, **how)
        axes.set_ylabel(f"change of {mean} in sd")
        return axes

    alt = f"change of the columns that change most along dimension {dimension} of z"
    caption = (
        f"{mean} of the columns that change most along dimension {dimension}{where}."
    )
    return figure(plot(draw, alt, height=2.9), caption)
