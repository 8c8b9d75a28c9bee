"""Plots of results: arrays in, a matplotlib `Figure` out; no pyplot and no global state."""

import os

from matplotlib.figure import Figure

from pyro_vae.analysis.figures.histograms import marginals
from pyro_vae.analysis.figures.images import (
    guess_image_shape,
    image_grid,
    reconstructions,
)
from pyro_vae.analysis.figures.latent_map import latent_scatter
from pyro_vae.atomic_files import written_whole
from pyro_vae.training_curves import learning_curve

__all__ = [
    "guess_image_shape",
    "image_grid",
    "latent_scatter",
    "learning_curve",
    "marginals",
    "reconstructions",
    "save_figure",
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
