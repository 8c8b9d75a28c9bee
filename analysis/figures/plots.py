"""Plots of results: arrays in, a `Figure` out, or axes in and out; no pyplot, no global state."""

import os

from matplotlib.figure import Figure

from pyro_vae.analysis.figures.calibration_ranks import calibration_ranks, uniform_band
from pyro_vae.analysis.figures.column_checks import column_check, column_histogram
from pyro_vae.analysis.figures.column_effects import column_excess, missing_curves
from pyro_vae.analysis.figures.context_forests import (
    effects_forest,
    information_forest,
)
from pyro_vae.analysis.figures.counts import level_bars, rootogram
from pyro_vae.analysis.figures.decoded_grids import (
    manifold_column,
    manifold_pictures,
    picture_grid,
    traversal_pictures,
)
from pyro_vae.analysis.figures.ecdf import ecdf_with_band
from pyro_vae.analysis.figures.evidence_costs import (
    gap_by_row,
    gap_parts,
    speed_accuracy,
)
from pyro_vae.analysis.figures.forests import comparison_forest, forest
from pyro_vae.analysis.figures.guide_against_nuts import (
    guide_agreement,
    guide_intervals,
)
from pyro_vae.analysis.figures.histograms import marginals
from pyro_vae.analysis.figures.images import (
    guess_image_shape,
    image_grid,
    reconstructions,
)
from pyro_vae.analysis.figures.imputed_cells import (
    coverage_by_column,
    errors_by_column,
    imputation_intervals,
    intervals_by_cell,
)
from pyro_vae.analysis.figures.latent_axes import (
    aggregate_posterior,
    rate_by_dimension,
    traversal,
)
from pyro_vae.analysis.figures.latent_map import latent_scatter
from pyro_vae.analysis.figures.latent_moments import aggregate_moments
from pyro_vae.analysis.figures.latent_points import latent_points, normal_ellipse
from pyro_vae.analysis.figures.log_densities import k_hat_by_row, log_p_histograms
from pyro_vae.analysis.figures.missing_cells import missing_map
from pyro_vae.analysis.figures.pairs import pair_plot
from pyro_vae.analysis.figures.pixel_checks import pixel_check
from pyro_vae.analysis.figures.run_curves import elbo_of_runs
from pyro_vae.analysis.figures.verdicts import verdict_chart
from pyro_vae.atomic_files import written_whole
from pyro_vae.training_curves import (
    elbo_curve,
    learning_curve,
    terms_curve,
)

__all__ = [
    "aggregate_moments",
    "aggregate_posterior",
    "calibration_ranks",
    "column_check",
    "column_excess",
    "column_histogram",
    "comparison_forest",
    "coverage_by_column",
    "ecdf_with_band",
    "effects_forest",
    "elbo_curve",
    "elbo_of_runs",
    "errors_by_column",
    "forest",
    "gap_by_row",
    "gap_parts",
    "guess_image_shape",
    "guide_agreement",
    "guide_intervals",
    "image_grid",
    "imputation_intervals",
    "information_forest",
    "intervals_by_cell",
    "k_hat_by_row",
    "latent_points",
    "latent_scatter",
    "learning_curve",
    "level_bars",
    "log_p_histograms",
    "manifold_column",
    "manifold_pictures",
    "marginals",
    "missing_curves",
    "missing_map",
    "normal_ellipse",
    "pair_plot",
    "picture_grid",
    "pixel_check",
    "rate_by_dimension",
    "reconstructions",
    "rootogram",
    "save_figure",
    "speed_accuracy",
    "terms_curve",
    "traversal",
    "traversal_pictures",
    "uniform_band",
    "verdict_chart",
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
