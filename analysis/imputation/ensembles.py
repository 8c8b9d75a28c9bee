"""Missing cells by several models together: the mixture of what each of them says."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vae.analysis.contexts.naming import names_in
from pyro_vae.analysis.imputation.cells import LEVELS, Cells
from pyro_vae.analysis.imputation.conditional import (
    Conditional,
    categories_of,
    conditional_cells,
    require_missing,
)
from pyro_vae.vae import VAE


def members_of(
    vae: VAE | Sequence[VAE], what: str, num_particles: int
) -> tuple[VAE, ...]:
    """The models that are asked: one, or those of an ensemble, which must be of the same columns.

    Arguments:
        vae: a model, or several.
        what: the name of the function, for messages.
        num_particles: draws of each row.

    Raises:
        ValueError: no model, models of different rows, or one that can't have missing cells.
    """
    members = (vae,) if isinstance(vae, VAE) else tuple(vae)
    if not members:
        raise ValueError(
            f"{what}: expected a VAE, or several, got an empty list; see fit_ensemble"
        )
    for member in members:
        require_missing(member, what, num_particles)
    first = _common(members[0])
    for number, member in enumerate(members):
        own = _common(member)
        for name, value in first.items():
            if own[name] != value:
                raise ValueError(
                    f"{what}: expected models of the same columns and units, got {name} "
                    f"{own[name]!r} in model {number} and {value!r} in model 0; make them with "
                    "fit_ensemble, or fit VAE.from_spec(models[0].spec, seed=1) to other rows"
                )
    return members


def _common(vae: VAE) -> dict[str, Any]:
    """What members have in common; without it equal numbers mean different things."""
    common: dict[str, Any] = {
        "data_shape": tuple(vae.spec.data_shape),
        "missing": vae.spec.missing,
        "columns": None,
        "context": None,
    }
    if vae.spec.context is not None:
        given = vae.spec.context
        common["context"] = dict(zip(names_in(given), given.levels, strict=True))
    if vae.spec.table is not None:
        columns = vae.spec.table.modelled
        common["columns"] = [column.name for column in columns]
        for column in columns:
            meaning = (column.levels, column.offset, column.origin, column.unit)
            common[f"levels, offset, origin and unit of {column.name!r}"] = meaning
    return {**common, "categories": categories_of(vae)}


def ensemble_cells(
    members: Sequence[VAE],
    rows: Tensor,
    *,
    num_particles: int,
    num_imputations: int,
    seed: int,
    progress: bool | None = False,
) -> Conditional:
    """p(x_m | x_o) of the missing cells of rows: of one model, or the mixture of several.

    Arguments:
        members: one model or more, for rows with missing cells.
        rows: checked, on the models' device and in their type, (n, *data_shape).
        num_particles: draws of z for each row and model.
        num_imputations: draws of each missing cell.
        seed: of the draws.
        progress: whether to show a bar for each model.
    """
    how: dict[str, Any] = {"num_particles": num_particles, "progress": progress}
    if len(members) == 1:
        return conditional_cells(
            members[0], rows, num_imputations=num_imputations, seed=seed, **how
        )
    share = math.ceil(max(num_particles, num_imputations) / len(members))
    found = [
        conditional_cells(
            member, rows, num_imputations=share, seed=seed + number, **how
        )
        for number, member in enumerate(members)
    ]
    return mixture(found, num_imputations)


def mixture(members: Sequence[Conditional], num_imputations: int) -> Conditional:
    """The mixture, with equal shares, of what several models say of the same cells.

        E[x] = meanₖ E[x | k],   Var[x] = meanₖ Var[x | k] + Varₖ E[x | k]

    Its quantiles are those of the draws of all models, and its completed tables come from the
    models in turn. k-hat of a row is the highest of any model, since each counts as much.

    Arguments:
        members: of each model, with draws.
        num_imputations: draws of each cell that are kept.
    """
    cells = [member.cells for member in members]
    mean = np.mean([each.mean for each in cells], 0)
    squares = [each.sd**2 + (each.mean - mean) ** 2 for each in cells]
    sd = np.sqrt(np.mean(squares, 0))
    draws = _in_turn([each.draws for each in cells])
    is_category = cells[0].is_category
    quantiles = np.full((len(mean), len(LEVELS)), np.nan)
    of_numbers = draws[:, ~is_category]
    if of_numbers.size:
        quantiles[~is_category] = np.quantile(
            of_numbers, LEVELS, axis=0, method="inverted_cdf"
        ).T
    mixed = Cells(
        cells[0].row,
        cells[0].column,
        mean,
        sd,
        _error_of_mean([each.mean_se for each in cells]),
        _error_of_sd(cells, sd),
        quantiles,
        np.mean([each.probabilities for each in cells], 0),
        draws[:num_imputations],
    )
    return Conditional(
        mixed,
        pareto_k=np.max([member.pareto_k for member in members], 0),
        ess=np.sum([member.ess for member in members], 0),
        num_particles=np.min([member.num_particles for member in members], 0),
    )


def _in_turn(draws: Sequence[np.ndarray]) -> np.ndarray:
    """The first draw of each model, then the second of each, and so on.

    Example:
        >>> _in_turn([np.array([[1], [2]]), np.array([[3], [4]])]).ravel().tolist()
        [1, 3, 2, 4]
    """
    stacked = np.stack(draws, 1)
    draws_of_all = stacked.shape[0] * stacked.shape[1]
    return stacked.reshape(draws_of_all, *stacked.shape[2:])


def _error_of_mean(errors: Sequence[np.ndarray]) -> np.ndarray:
    """The standard error of a mean of independent numbers, from theirs."""
    found: np.ndarray = np.sqrt(np.sum(np.square(errors), 0)) / len(errors)
    return found


def _error_of_sd(cells: Sequence[Cells], sd: np.ndarray) -> np.ndarray:
    """That of the mixture's, from the standard errors of the models' own standard deviations."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _error_of_mean([each.sd * each.sd_se / sd for each in cells])
