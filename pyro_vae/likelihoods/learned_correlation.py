"""Correlations of a row's noise with parameters, and where these start."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.data.normal_em import fit_normal
from pyro_vae.likelihoods.correlation import (
    CholeskyCorrelation,
    Correlation,
    FactorCorrelation,
)
from pyro_vae.networks.positive_numbers import positive, raw_of

Covariance = Literal["diagonal", "full", "low_rank"]
Start = Literal["independent", "data"]
ENOUGH = 1000
"""Rows of the sample from which the correlations start."""
ITERATIONS = 50
RIDGE = 1.0
"""Rows with independent columns that are added to the correlations of the sample."""
SLIGHT = 1e-3
LOADING = 0.1
"""The standard deviations of the random start: at zero itself some gradients are zero."""
SMALL = 1e-2
"""The least share of a column's variance that low-rank factors leave unexplained at the start."""


class LearnedCorrelation(nn.Module):
    """A `Correlation` of D columns with parameters: calling the module gives it.

    No number depends on the columns' units. The columns are nearly independent, with small random
    correlations, until `start` is called.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self) -> Correlation:
        raise NotImplementedError

    def start_at(self, correlation: np.ndarray) -> None:
        """Set the parameters from a correlation matrix of full rank."""
        raise NotImplementedError

    def start(self, data: Statistics) -> None:
        """Start at the correlations of at most 1000 rows of the sample, by EM where cells lack."""
        self.start_at(correlation_of(data.sample[:ENOUGH].double().cpu().numpy()))

    def extra_repr(self) -> str:
        return f"{self.size}"


class FullCorrelation(LearnedCorrelation):
    """R = C Cᵀ with any C: D(D + 1)/2 numbers.

    A row of C is (below, positive diagonal), divided by its length.

    Example:
        >>> full = FullCorrelation(2)
        >>> full.start_at(np.array([[1.0, 0.6], [0.6, 1.0]]))
        >>> full().matrix().detach()
        tensor([[1.0000, 0.6000],
                [0.6000, 1.0000]])
    """

    position: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size)
        row, column = torch.tril_indices(size, size, -1)
        self.register_buffer("position", row * size + column, persistent=False)
        self.below = nn.Parameter(SLIGHT * torch.randn(len(row)))
        self.diagonal = nn.Parameter(torch.full((size,), raw_of(1.0)))

    def forward(self) -> CholeskyCorrelation:
        flat = self.below.new_zeros(self.size**2).scatter(0, self.position, self.below)
        rows = flat.reshape(self.size, self.size) + torch.diag(positive(self.diagonal))
        return CholeskyCorrelation(rows / rows.norm(dim=1, keepdim=True))

    def start_at(self, correlation: np.ndarray) -> None:
        factor = np.linalg.cholesky(correlation)
        below = factor.ravel()[self.position.cpu().numpy()]
        self.below.data.copy_(torch.as_tensor(below))
        self.diagonal.data.copy_(_raw(np.diagonal(factor)))


class LowRankCorrelation(LearnedCorrelation):
    """R = Ψ + W Wᵀ with `rank` factors: D (rank + 1) numbers.

    A row is (std, loadings), divided by its length.

    Example:
        >>> LowRankCorrelation(4, 2)().matrix().shape
        torch.Size([4, 4])
    """

    def __init__(self, size: int, rank: int) -> None:
        super().__init__(size)
        self.rank = rank
        self.loadings = nn.Parameter(LOADING * torch.randn(size, rank))
        self.std = nn.Parameter(torch.full((size,), raw_of(1.0)))

    def forward(self) -> FactorCorrelation:
        std = positive(self.std)
        length = (std.square() + self.loadings.square().sum(1)).sqrt()
        return FactorCorrelation(std / length, self.loadings / length.unsqueeze(1))

    def start_at(self, correlation: np.ndarray) -> None:
        loadings = principal_factors(correlation, self.rank)
        left = np.maximum(1 - np.square(loadings).sum(1), SMALL)
        self.loadings.data.copy_(torch.as_tensor(loadings.copy()))
        self.std.data.copy_(_raw(np.sqrt(left)))

    def extra_repr(self) -> str:
        return f"{self.size}, rank={self.rank}"


def principal_factors(correlation: np.ndarray, rank: int) -> np.ndarray:
    """Loadings of probabilistic PCA: eigenvectors by √(λ - mean of the other eigenvalues).

    References:
        Probabilistic Principal Component Analysis (Tipping, Bishop, 1999).

    Example:
        >>> principal_factors(np.array([[1.0, 0.5], [0.5, 1.0]]), 1).round(3)
        array([[0.707],
               [0.707]])
    """
    values, vectors = np.linalg.eigh(correlation)
    others = values[:-rank]
    noise = float(others.mean()) if len(others) else 0.0
    top = values[: -rank - 1 : -1]
    columns = vectors[:, : -rank - 1 : -1]
    signs = np.where(columns.sum(0) < 0, -1.0, 1.0)
    return signs * columns * np.sqrt(np.maximum(top - noise, SMALL**2))


def correlation_of(rows: np.ndarray) -> np.ndarray:
    """The correlations of rows, by EM where cells are missing; 0 of columns that don't vary.

    One row with independent columns is added, so that the matrix has full rank.

    Example:
        >>> correlation_of(np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])).round(3)
        array([[1.  , 0.75],
               [0.75, 1.  ]])
    """
    size = rows.shape[1]
    varies = np.array(
        [len(np.unique(column[~np.isnan(column)])) > 1 for column in rows.T]
    )
    correlation = np.eye(size)
    if varies.sum() < 2:
        return correlation
    chosen = rows[:, varies]
    fitted = fit_normal(chosen, ridge=RIDGE, tolerance=1e-4, max_iterations=ITERATIONS)
    std = np.sqrt(np.diagonal(fitted.covariance))
    correlation[np.ix_(varies, varies)] = fitted.covariance / np.outer(std, std)
    return correlation


def _raw(numbers: np.ndarray) -> Tensor:
    """What `positive` maps to these numbers."""
    return torch.tensor([raw_of(max(float(number), 2e-4)) for number in numbers])
