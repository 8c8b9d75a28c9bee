"""Plots of results: arrays in, a `Figure` out, or axes in and out; no pyplot, no global state."""

import os

from matplotlib.figure import Figure

from pyro_vae.analysis.figures.counts import level_bars, rootogram
from pyro_vae.analysis.figures.ecdf import ecdf_with_band
from pyro_vae.analysis.figures.histograms import marginals
from pyro_vae.analysis.figures.images import (
    guess_image_shape,
    image_grid,
    reconstructions,
)
from pyro_vae.analysis.figures.latent_axes import (
    aggregate_posterior,
    rate_by_dimension,
    traversal,
)
from pyro_vae.analysis.figures.latent_map import latent_scatter
from pyro_vae.analysis.figures.log_densities import k_hat_by_row, log_p_histograms
from pyro_vae.analysis.figures.missing_cells import missing_map
from pyro_vae.atomic_files import written_whole
from pyro_vae.training_curves import (
    elbo_curve,
    learning_curve,
    terms_curve,
)

__all__ = [
    "aggregate_posterior",
    "ecdf_with_band",
    "elbo_curve",
    "guess_image_shape",
    "image_grid",
    "k_hat_by_row",
    "latent_scatter",
    "learning_curve",
    "level_bars",
    "log_p_histograms",
    "marginals",
    "missing_map",
    "rate_by_dimension",
    "reconstructions",
    "rootogram",
    "save_figure",
    "terms_curve",
    "traversal",
]


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG with 120 dots per inch, whole or not at all.

    Arguments:
        figure: the figure.
        path: the file, which ends in `.png`; one of that name is replaced.

    Raises:
        ValueError: when the name ends otherwise.
        FileNotFoundError: when the folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(Figure(), f"{folder}/empty.png")
    """
    if not str(path).lower().endswith(".png"):
        raise ValueError(
            f"path: expected a name that ends in .png, got {str(path)!r}; figure.savefig writes "
            "other kinds"
        )
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
