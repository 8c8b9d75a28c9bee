"""Pictures of the latent space and of what it means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyro_vae.analysis import Codes, LatentUse, Manifold, Traversal
from pyro_vae.analysis.figures.column_checks import column_histogram
from pyro_vae.analysis.figures.decoded_grids import (
    manifold_column,
    manifold_pictures,
    traversal_pictures,
)
from pyro_vae.analysis.figures.latent_axes import rate_by_dimension, traversal
from pyro_vae.analysis.figures.latent_moments import aggregate_moments
from pyro_vae.analysis.figures.latent_points import has_colour_scale, latent_points
from pyro_vae.arguments import as_int
from pyro_vae.plotting.layout import Layout, Panel, layout_of, picture_shape


@layout_of.register
def codes_layout(
    found: Codes,
    *,
    colour_by: npt.ArrayLike | None = None,
    name: str = "",
    dimensions: tuple[int, int] | None = None,
) -> Layout:
    """E[z | x] in the two dimensions that vary most, with 90 % ellipses of rows or labels.

    Those of rows have the widths of q(z | x) in each dimension, and no correlation.
    """
    if found.loc.shape[1] == 1:
        return _one_dimension(found, colour_by)
    first, second = _plane(found, dimensions)
    look: dict[str, Any] = {"colour_by": colour_by, "name": name}
    has_labels = colour_by is not None and not has_colour_scale(colour_by)
    if found.scale.any() and not has_labels:  # an autoencoder has no widths
        look["scale"] = found.scale[:, [first, second]]
    look["dimensions"] = (first, second)
    codes = found.loc[:, [first, second]]
    return Layout([Panel(lambda axes: latent_points(axes, codes, **look), 5.2, 4.4)])


def _one_dimension(found: Codes, colour_by: npt.ArrayLike | None) -> Layout:
    if colour_by is not None:
        raise ValueError(
            "colour_by: expected codes of 2 dimensions or more, got 1; draw them with "
            "pyro_vae.analysis.figures.plots.latent_scatter(codes.loc, labels=...)"
        )
    values = found.loc[:, 0]
    return Layout([Panel(lambda axes: column_histogram(axes, values, name="E[z | x]"))])


def _plane(found: Codes, dimensions: tuple[int, int] | None) -> tuple[int, int]:
    """The two dimensions that are asked for, or whose mean varies most."""
    latent_dim = found.loc.shape[1]
    order = np.argsort(-found.loc.var(0), kind="stable")
    chosen = np.sort(order[:2]) if dimensions is None else np.ravel(dimensions)
    pair = [as_int(d, "dimensions") for d in chosen.tolist()]
    are_two = len(pair) == 2 and pair[0] != pair[1]
    if not are_two or not all(0 <= d < latent_dim for d in pair):
        raise ValueError(
            f"dimensions: expected two different ones from 0 to {latent_dim - 1}, got "
            f"{tuple(pair)}; such as (0, 1)"
        )
    return pair[0], pair[1]


@layout_of.register
def latent_use_layout(found: LatentUse) -> Layout:
    """Rate by dimension with active units; mean and width of q(z) over those of the prior."""
    moments = (found.mean, found.scale, found.prior_mean, found.prior_scale)
    panels = [Panel(lambda axes: aggregate_moments(axes, *moments))]
    if not np.isnan(found.rate_per_dim).all():
        rates = (found.rate_per_dim, found.active)
        panels.insert(0, Panel(lambda axes: rate_by_dimension(axes, *rates)))
    return Layout(panels)


@layout_of.register
def traversal_layout(
    found: Traversal, *, image_shape: Sequence[int] | None = None
) -> Layout:
    """A line of pictures for each dimension, or the columns that change most along each."""
    _require_means(found.mean)
    shape = picture_shape(found.mean.shape[2:], image_shape)
    lines, steps = found.z.shape
    if shape is not None and found.names is None:
        how: dict[str, Any] = {"dimensions": found.dimensions, "image_shape": shape}
        return Layout(
            [
                Panel(
                    lambda axes: traversal_pictures(axes, found.z, found.mean, **how),
                    width=1.6 + 0.6 * steps,
                    height=0.8 + 0.6 * lines,
                )
            ]
        )
    means = found.mean.reshape(lines, steps, -1)
    names = _names(found.names, means.shape[-1])
    scale = np.ravel(found.scale)

    def line(i: int) -> Panel:
        how: Any = {"columns": names, "scale": scale}
        how["dimension"] = int(found.dimensions[i])
        curves = (found.z[i], means[i])
        return Panel(lambda axes: traversal(axes, *curves, **how), height=3.8)

    return Layout([line(i) for i in range(lines)])


def _require_means(means: np.ndarray) -> None:
    if np.isnan(means).all():
        raise ValueError(
            "plot: expected columns with a mean, got categories alone; see their probabilities, "
            "pv.class_probabilities(vae, x)"
        )


def _names(names: Sequence[Any] | None, count: int) -> list[str]:
    return [f"x[{i}]" for i in range(count)] if names is None else [*map(str, names)]


@layout_of.register
def manifold_layout(
    found: Manifold,
    *,
    image_shape: Sequence[int] | None = None,
    column: str | int | None = None,
) -> Layout:
    """A picture at each z, or one column as colours: by default the one that varies most."""
    _require_means(found.mean)
    shape = picture_shape(found.mean.shape[2:], image_shape)
    grid = (found.first, found.second)
    how: dict[str, Any] = {"dimensions": found.dimensions}
    if shape is not None and found.names is None and column is None:
        how["image_shape"] = shape
        pictures = found.mean
        return Layout(
            [
                Panel(
                    lambda axes: manifold_pictures(axes, *grid, pictures, **how),
                    5.0,
                    5.0,
                )
            ]
        )
    means = found.mean.reshape(*found.mean.shape[:2], -1)
    names = _names(found.names, means.shape[-1])
    chosen = _column(means, names, column)
    how["name"] = f"E[{names[chosen]} | z]"
    values = means[..., chosen]
    return Layout([Panel(lambda axes: manifold_column(axes, *grid, values, **how))])


def _column(means: np.ndarray, names: list[str], column: str | int | None) -> int:
    """The position of a column; of none, that of the one whose mean varies most over z."""
    if column is None:
        spread = means.std((0, 1)) / (np.abs(means).mean((0, 1)) + 1e-12)
        return int(np.nan_to_num(spread, nan=-1.0).argmax())
    if isinstance(column, str) and column in names:
        return names.index(column)
    if not isinstance(column, str) and as_int(column, "column") in range(len(names)):
        return int(column)
    raise ValueError(
        f"column: expected one of {names[:10]}, or a position below {len(names)}, got {column!r}"
    )
