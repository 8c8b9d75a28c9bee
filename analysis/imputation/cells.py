"""What is known of missing cells: moments, quantiles, probabilities and draws of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.fitted import as_numpy
from pyro_vae.analysis.imputation.posterior_draws import PosteriorDraws
from pyro_vae.inputs import own_part
from pyro_vae.likelihoods.base import given
from pyro_vae.likelihoods.observed_cells import given_observed
from pyro_vae.vae import VAE

LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
"""The probabilities of the quantiles: the ends of the 50, 80 and 90 % intervals, and the median."""
MEDIAN = LEVELS.index(0.5)


@dataclass(frozen=True)
class Cells:
    """p(x_m | x_o) of each missing cell, in the numbers of the model; arrays have one entry a cell.

    Attributes:
        row: the position of its row, (m,).
        column: its position in the flattened row, (m,).
        mean: E[x_m | x_o]; nan for categories, (m,).
        sd: the standard deviation; nan for categories, (m,).
        mean_se: the Monte Carlo standard error of the mean, (m,).
        sd_se: that of the standard deviation, (m,).
        quantiles: at the probabilities `LEVELS`; nan for categories, (m, 7).
        probabilities: of the categories, (m, most categories); nan where there are none.
        draws: x_m ~ p(x_m | x_o), (imputations, m); the cells of a row are drawn together.
    """

    row: np.ndarray
    column: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    mean_se: np.ndarray
    sd_se: np.ndarray
    quantiles: np.ndarray
    probabilities: np.ndarray
    draws: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def is_category(self) -> np.ndarray:
        """Which cells have probabilities."""
        return ~np.isnan(self.probabilities).all(1)

    @property
    def mode(self) -> np.ndarray:
        """The most probable category; nan for numbers."""
        likely = np.nan_to_num(self.probabilities, nan=-1.0).argmax(1)
        return np.where(self.is_category, likely, np.nan)

    @property
    def point(self) -> np.ndarray:
        """One number for each cell: the mean, or the median where there is none, or the mode."""
        number = np.where(np.isfinite(self.mean), self.mean, self.quantiles[:, MEDIAN])
        return np.where(self.is_category, self.mode, number)

    def take(self, which: np.ndarray) -> "Cells":
        """Some of the cells, by a mask or by their positions."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        draws = arrays.pop("draws")
        kept = {name: array[which] for name, array in arrays.items()}
        return Cells(**kept, draws=draws[:, which])

    def in_order(self) -> "Cells":
        """The same cells by row and column."""
        return self.take(np.lexsort((self.column, self.row)))


def joined(parts: Sequence[Cells]) -> Cells:
    """The cells of several groups of rows."""
    arrays = {}
    for field in fields(Cells):
        axis = 1 if field.name == "draws" else 0
        arrays[field.name] = np.concatenate(
            [getattr(part, field.name) for part in parts], axis
        )
    return Cells(**arrays)


def no_cells(num_imputations: int, most_categories: int) -> Cells:
    """The cells of a table that lacks none."""
    none = np.empty(0)
    position = np.empty(0, int)
    quantiles = np.empty((0, len(LEVELS)))
    probabilities = np.empty((0, most_categories))
    draws = np.empty((num_imputations, 0))
    return Cells(
        position, position, none, none, none, none, quantiles, probabilities, draws
    )


def cells_of(
    vae: VAE,
    x: Tensor,
    draws: PosteriorDraws,
    categories: dict[int, int],
    num_imputations: int,
) -> Cells:
    """The missing cells of rows, from weighted draws of their z.

    Each mean is Σₖ wₖ E[x_m | zₖ, x_o], which has no noise from p(x | z); quantiles are those of
    draws x_m ~ p(x_m | zₖ, x_o) with the weights wₖ.

    Arguments:
        vae: the model of whole rows, in evaluation mode.
        x: the rows of `draws`, (r, *data_shape), or (x, c) for a model with a context.
        draws: of z.
        categories: how many each column of categories has.
        num_imputations: how often each cell is drawn.

    Returns:
        The cells, with positions among these rows.
    """
    missing = own_part(vae, x).isnan().flatten(1)
    row, column = missing.nonzero(as_tuple=True)
    cell_row = row.cpu().numpy()
    cell_column = column.cpu().numpy()
    weights = draws.weights
    p = _missing_cells(vae, x, draws.z)
    drawn = _at(p.sample(), row, column)
    mean, variance = _moments(p, drawn, row, column)
    of_cells = as_numpy(weights)[:, cell_row]
    numbers = _weighted_moments(of_cells, mean, variance)
    quantiles = weighted_quantiles(drawn, of_cells)
    probabilities = _probabilities(p, weights, categories)[cell_row, cell_column]
    is_category = ~np.isnan(probabilities).all(1)
    for array in (*numbers, quantiles):
        array[is_category] = np.nan
    imputed = _imputed(vae, x, draws, num_imputations, row, column)
    return Cells(cell_row, cell_column, *numbers, quantiles, probabilities, imputed)


def _missing_cells(vae: VAE, rows: Tensor, z: Tensor) -> Any:
    """p(x_m | z, x_o) of rows for draws z (draws, r, latent_dim)."""
    p: Distribution = given(vae.likelihood(z), rows)
    x = own_part(vae, rows)
    return given_observed(p, x, ~x.isnan())


def _at(values: Tensor, row: Tensor, column: Tensor) -> np.ndarray:
    """The numbers of some cells of (draws, r, *data_shape), (draws, m) in float64."""
    return as_numpy(values.flatten(2)[:, row, column]).astype(np.float64)


def _moments(
    p: Any, drawn: np.ndarray, row: Tensor, column: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each cell given z; its draw and 0 where the family doesn't know them."""
    try:
        return _at(p.mean, row, column), _at(p.variance, row, column)
    except NotImplementedError:
        return drawn, np.zeros_like(drawn)


def _weighted_moments(
    weights: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and their standard errors, by the law of total variance.

    Arguments:
        weights: they sum to one over the draws, (draws, m).
        mean, variance: given z, (draws, m).
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        total = (weights * mean).sum(0)
        squares = variance + np.square(mean - total)
        sd = np.sqrt((weights * squares).sum(0))
        mean_se = np.sqrt((np.square(weights) * np.square(mean - total)).sum(0))
        variance_se = np.sqrt((np.square(weights) * np.square(squares - sd**2)).sum(0))
        return total, sd, mean_se, variance_se / (2 * sd)


def weighted_quantiles(draws: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The smallest draws up to which the weights sum to each of `LEVELS`.

    Arguments:
        draws: (draws, m).
        weights: they sum to one over the draws, (draws, m).

    Example:
        >>> draws = np.arange(1.0, 101.0)[:, None]
        >>> weighted_quantiles(draws, np.full((100, 1), 0.01)).tolist()
        [[5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0]]
    """
    order = draws.argsort(0)
    ordered = np.take_along_axis(draws, order, 0)
    sums = np.take_along_axis(weights, order, 0).cumsum(0)
    found = []
    for level in LEVELS:
        # rounding in the sums must not move a quantile by one draw
        index = (sums < level - 1e-9).sum(0).clip(max=len(draws) - 1)
        found.append(np.take_along_axis(ordered, index[None], 0)[0])
    return np.stack(found, 1)


def _probabilities(p: Any, weights: Tensor, categories: dict[int, int]) -> np.ndarray:
    """Σₖ wₖ P(category | zₖ), (r, columns, most categories); nan where a column has fewer."""
    size = math.prod(p.event_shape)
    rows = weights.shape[1]
    found = np.full((rows, size, max(categories.values(), default=1)), np.nan)
    named = probabilities_of(p)
    for column, count in categories.items():
        if column in named:
            each = named[column]
        else:  # a column of 0 and 1
            one = p.mean.flatten(2)[:, :, column]
            each = torch.stack([1 - one, one], -1)
        mean = torch.einsum("kr,krc->rc", weights, each.double())
        found[:, column, :count] = as_numpy(mean)
    return found


def probabilities_of(p: Any) -> dict[int, Tensor]:
    """The probabilities of the columns of categories, where a distribution knows them."""
    hook = getattr(p, "pyro_vae_probabilities", None)
    found: dict[int, Tensor] = {} if hook is None else hook()
    return found


def _imputed(
    vae: VAE,
    x: Tensor,
    draws: PosteriorDraws,
    count: int,
    row: Tensor,
    column: Tensor,
) -> np.ndarray:
    """x_m ~ p(x_m | z, x_o) with z resampled by the weights, (count, m)."""
    if count == 0:
        return np.empty((0, len(row)))
    chosen = torch.multinomial(draws.weights.T, count, replacement=True).T
    rows = torch.arange(len(x), device=chosen.device)
    z = draws.z[chosen, rows]
    return _at(_missing_cells(vae, x, z).sample(), row, column)
