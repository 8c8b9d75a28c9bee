"""Imputation of missing cells: means, intervals and draws, with a verdict on each row."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_vae.analysis.fitted import as_numpy, require_at_random
from pyro_vae.analysis.imputation.calibration import (
    Calibrated,
    calibrated,
    hidden_cells,
)
from pyro_vae.analysis.imputation.conditional import categories_of
from pyro_vae.analysis.imputation.ensembles import ensemble_cells, members_of
from pyro_vae.analysis.imputation.results import Imputation
from pyro_vae.analysis.imputation.tables import Holes
from pyro_vae.analysis.results.tables import column_labels
from pyro_vae.arguments import public, warn_caller
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import complete_rows, with_x
from pyro_vae.inputs import missing_cells, model_rows, own_part, rows_of
from pyro_vae.vae import VAE

__all__ = ["impute"]


@public
def impute(
    vae: VAE | Sequence[VAE],
    x: Any,
    *,
    context: Any = None,
    num_imputations: int = 20,
    num_particles: int = 1000,
    seed: int = 0,
    calibrate: bool = False,
    hidden_share: float = 0.1,
    progress: bool | None = None,
) -> Imputation:
    """The missing cells of a table given the observed ones: means, intervals and completed tables.

    E[f(x_m) | x_o] ≈ Σₖ wₖ E[f(x_m) | zₖ, x_o] / Σₖ wₖ,   wₖ = p(x_o | zₖ) p(zₖ) / r(zₖ),   zₖ ~ r

    r is the proposal of `evidence` for the row, "refined" or from "several starts", and not the
    guide alone, whose few effective draws make intervals too narrow. A completed table resamples z
    by the weights, and then draws all missing cells of a row together from p(x_m | z, x_o): tables
    differ as much as the cells are uncertain. Estimate what you are after on each of them, and
    combine the estimates by Rubin's rules, `pool`.

    With missing="at_random" it is assumed that, given the observed cells, whether another is
    missing doesn't depend on its value. With missing="self_masking" the mask is a part of x_o, and
    a missing cell has p(x_m | z, missing), which knows that it is missing. The parameters of the
    model are taken as known, so that with few training rows intervals are too narrow: `calibrate`
    measures that. Several models of one description, `fit_ensemble`, are taken together, as the
    mixture of what each of them says: means are better, and intervals wider where the models
    differ.

    References:
        Inference and Missing Data (Rubin, 1976).
        not-MIWAE: Deep Generative Modelling with Missing not at Random Data (Ipsen, Mattei,
        Frellsen, 2021).
        MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets (Mattei, Frellsen,
        2019).
        Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao, Gabry, 2024), for k-hat.

    Arguments:
        vae: a fitted model for rows with missing cells, or a list of several.
        x: rows, (n, *data_shape), nan where a cell is missing; or a table with missing cells.
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_imputations: completed tables; 0 makes none.
        num_particles: K, draws of z for each row, and model; more where k-hat is too high.
        seed: of the draws.
        calibrate: whether to hide observed cells, find them, and report how well that went.
        hidden_share: the share of the observed cells that is hidden, between 0 and 1.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `Imputation`: `completed` tables, the table with each `mean`, k-hat of each row, and
        `to_dataframe()` with one line for each missing cell.

    Raises:
        ValueError: a model that knows no missing cells; rows that don't fit the model; `calibrate`
            where missing cells depend on their values.

    Example:
        >>> vae = VAE(data_shape=(2,), latent_dim=1, missing="at_random")
        >>> found = impute(vae, torch.tensor([[0.5, torch.nan], [1.0, 2.0]]), num_imputations=2)
        >>> found
        Imputation(rows=2, imputed cells 1, tables 2)
        >>> found.completed[0][1].tolist()
        [1.0, 2.0]
    """
    began = time.perf_counter()
    members = members_of(vae, "impute", num_particles)
    first = members[0]
    if num_imputations < 0:
        raise ValueError(f"num_imputations: expected at least 0, got {num_imputations}")
    if not 0 < hidden_share < 1:
        raise ValueError(
            f"hidden_share: expected a share between 0 and 1, got {hidden_share}"
        )
    if calibrate:
        require_at_random(first, "calibrate")
    given = torch.cat(list(rows_of(first, model_rows(first, x, context=context), "x")))
    rows = complete_rows(first, given)
    how: dict[str, Any] = {
        "num_particles": num_particles,
        "seed": seed,
        "progress": progress,
    }
    found = ensemble_cells(members, rows, num_imputations=num_imputations, **how)
    labels = row_labels(x, first.spec.table)
    calibration = None
    if calibrate:
        calibration = _calibration(members, x, given, hidden_share, how)
    result = Imputation(
        found,
        Holes.of(x, as_numpy(own_part(first, rows)), first.spec.table, labels),
        categories_of(first),
        calibration,
        time.perf_counter() - began,
        first.spec.self_masking is not None,
    )
    warn_of_untrusted(result, "impute")
    return result


def warn_of_untrusted(found: Imputation, what: str) -> None:
    """Warn where the weights of some rows are too uneven."""
    share = found.untrusted_share
    if share > 0:
        warn_caller(
            f"{what}: {share:.1%} of the rows with missing cells are not to be trusted, their "
            "k-hat is too high: means and intervals may be wrong; take more num_particles, or fit "
            "a model with another guide"
        )


def _calibration(
    members: Sequence[VAE], x: Any, rows: Tensor, share: float, how: dict[str, Any]
) -> Calibrated:
    """How well observed cells are found after they were hidden."""
    x_alone = own_part(members[0], rows)
    flat = as_numpy(x_alone.flatten(1))
    missing = missing_cells(members[0])
    groups = {} if missing is None else missing.together
    together = [column for columns in groups.values() for column in columns]
    hidden = hidden_cells(flat, share, how["seed"], together)
    if not hidden.any():
        raise ValueError(
            "calibrate: expected observed cells to hide, got none; pass more rows, or a larger "
            "hidden_share"
        )
    holed = x_alone.clone()
    holed.flatten(1)[torch.from_numpy(hidden).to(rows.device)] = torch.nan
    holed_rows = complete_rows(members[0], with_x(members[0], rows, holed))
    again = ensemble_cells(members, holed_rows, num_imputations=0, **how)
    names = column_labels(x, members[0].spec.table)
    if names is not None and len(names) != flat.shape[1]:
        names = None
    return calibrated(flat, hidden, again.cells, names)
