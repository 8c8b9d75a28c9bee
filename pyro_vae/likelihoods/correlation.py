"""Correlations of a row's noise: their densities, conditionals and draws, of unit variance."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.data import Statistics
from pyro_vae.data.normal_em import fit_normal
from pyro_vae.networks.positive_numbers import positive, raw_of
from pyro_vae.special import HALF_LOG_2_PI

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


class Conditional(NamedTuple):
    """The noise of missing cells given that of the observed ones.

    Attributes:
        mean: (..., D), the noise itself where it is observed.
        covariance: (..., D, D), 0 where either cell is observed.
    """

    mean: Tensor
    covariance: Tensor


class Correlation(ABC):
    """A multivariate normal N(0, R) with ones on the diagonal of R.

    `observed`, a mask shaped (..., D), broadcasts with the noise, also shaped (..., D). What
    depends on the mask alone is computed once for all leading dimensions that the mask lacks.
    """

    @abstractmethod
    def matrix(self) -> Tensor:
        """R, (D, D)."""

    @abstractmethod
    def log_prob(self, noise: Tensor) -> Tensor:
        """log N(noise; 0, R), for noise (..., D)."""

    @abstractmethod
    def observed_log_prob(self, noise: Tensor, observed: Tensor) -> Tensor:
        """log N(noise_o; 0, R_oo); 0 where nothing is observed."""

    @abstractmethod
    def conditional(self, noise: Tensor, observed: Tensor) -> Conditional:
        """The moments of N(R_mo R_oo⁻¹ noise_o, R_mm - R_mo R_oo⁻¹ R_om)."""

    @abstractmethod
    def draw(self, like: Tensor) -> Tensor:
        """Noise shaped as `like`, (..., D), differentiable."""


class CholeskyCorrelation(Correlation):
    """R = C Cᵀ, with C lower triangular and rows of length 1.

    Arguments:
        factor: C, (D, D).

    Example:
        >>> two = CholeskyCorrelation(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
        >>> two.conditional(torch.tensor([1.0, 0.0]), torch.tensor([True, False])).mean
        tensor([1.0000, 0.6000])
    """

    def __init__(self, factor: Tensor) -> None:
        self.factor = factor

    def matrix(self) -> Tensor:
        return self.factor @ self.factor.mT

    def log_prob(self, noise: Tensor) -> Tensor:
        rows = noise.reshape(-1, noise.shape[-1])
        white = torch.linalg.solve_triangular(self.factor, rows.mT, upper=False)
        squares = white.square().sum(0).reshape(noise.shape[:-1])
        log_det = self.factor.diagonal().log().sum()
        return -0.5 * squares - log_det - noise.shape[-1] * HALF_LOG_2_PI

    def observed_log_prob(self, noise: Tensor, observed: Tensor) -> Tensor:
        factor = self._observed_factor(observed)
        white = _solved(factor, torch.where(observed, noise, 0.0))
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        count = observed.to(noise.dtype).sum(-1)
        return -0.5 * white.square().sum(-1) - log_det - count * HALF_LOG_2_PI

    def conditional(self, noise: Tensor, observed: Tensor) -> Conditional:
        matrix = self.matrix()
        known = torch.where(observed, noise, 0.0)
        # C_oo⁻¹ R_o:, whose rows are 0 where a cell is missing
        to_all = torch.where(observed.unsqueeze(-1), matrix, 0.0)
        factor = self._observed_factor(observed)
        explained = torch.linalg.solve_triangular(factor, to_all, upper=False)
        white = _solved(factor, known)
        mean = (explained.mT @ white.unsqueeze(-1)).squeeze(-1)
        left = matrix - explained.mT @ explained
        both = ~observed.unsqueeze(-1) & ~observed.unsqueeze(-2)
        return Conditional(
            torch.where(observed, noise, mean), torch.where(both, left, 0.0)
        )

    def draw(self, like: Tensor) -> Tensor:
        return torch.randn_like(like) @ self.factor.mT

    def _observed_factor(self, observed: Tensor) -> Tensor:
        """The Cholesky factor of R_oo, with the identity's rows and columns for missing cells."""
        both = observed.unsqueeze(-1) & observed.unsqueeze(-2)
        identity = torch.eye(
            len(self.factor), dtype=self.factor.dtype, device=observed.device
        )
        return torch.linalg.cholesky(torch.where(both, self.matrix(), identity))


class FactorCorrelation(Correlation):
    """R = Ψ + W Wᵀ, with Ψ diagonal and ones on the diagonal of R, by Woodbury's identity.

        noiseᵀ R⁻¹ noise = Σᵢ uᵢ² + |η|²,   η = (I + Vᵀ V)⁻¹ Vᵀ Ψ^-½ noise,   u = Ψ^-½ noise - V η

    with V = Ψ^-½ W. Missing cells are left out of V and of the noise: no factor of R is needed. It
    is a sum of squares, which loses no digits where the factors explain nearly everything.

    References:
        Updating the Inverse of a Matrix (Hager, 1989).

    Arguments:
        std: Ψ^½, (D,).
        loadings: W, (D, rank).

    Example:
        >>> two = FactorCorrelation(torch.tensor([0.6, 0.8]), torch.tensor([[0.8], [0.6]]))
        >>> two.matrix()
        tensor([[1.0000, 0.4800],
                [0.4800, 1.0000]])
    """

    def __init__(self, std: Tensor, loadings: Tensor) -> None:
        self.std = std
        self.loadings = loadings
        self.ratio = loadings / std.unsqueeze(-1)

    def matrix(self) -> Tensor:
        return torch.diag(self.std.square()) + self.loadings @ self.loadings.mT

    def log_prob(self, noise: Tensor) -> Tensor:
        everything = torch.ones_like(self.std, dtype=torch.bool)
        return self.observed_log_prob(noise, everything)

    def observed_log_prob(self, noise: Tensor, observed: Tensor) -> Tensor:
        ratio, factor = self._observed_factor(observed)
        unit = torch.where(observed, noise / self.std, 0.0)
        eta = self._factors(ratio, factor, unit)
        left = unit - (ratio @ eta.unsqueeze(-1)).squeeze(-1)
        squares = left.square().sum(-1) + eta.square().sum(-1)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_det = log_det + torch.where(observed, self.std.log(), 0.0).sum(-1)
        count = observed.to(noise.dtype).sum(-1)
        return -0.5 * squares - log_det - count * HALF_LOG_2_PI

    def conditional(self, noise: Tensor, observed: Tensor) -> Conditional:
        ratio, factor = self._observed_factor(observed)
        unit = torch.where(observed, noise / self.std, 0.0)
        eta = self._factors(ratio, factor, unit)
        mean = eta @ self.loadings.mT
        half = torch.linalg.solve_triangular(factor, self.loadings.mT, upper=False)
        left = half.mT @ half + torch.diag(self.std.square())
        both = ~observed.unsqueeze(-1) & ~observed.unsqueeze(-2)
        return Conditional(
            torch.where(observed, noise, mean), torch.where(both, left, 0.0)
        )

    def draw(self, like: Tensor) -> Tensor:
        factors = like.new_empty((*like.shape[:-1], self.loadings.shape[-1])).normal_()
        return self.std * torch.randn_like(like) + factors @ self.loadings.mT

    def _observed_factor(self, observed: Tensor) -> tuple[Tensor, Tensor]:
        """V without the missing cells, and the Cholesky factor of I + Vᵀ V."""
        ratio = torch.where(observed.unsqueeze(-1), self.ratio, 0.0)
        rank = ratio.shape[-1]
        identity = torch.eye(rank, dtype=ratio.dtype, device=ratio.device)
        return ratio, torch.linalg.cholesky(identity + ratio.mT @ ratio)

    def _factors(self, ratio: Tensor, factor: Tensor, unit: Tensor) -> Tensor:
        """(I + Vᵀ V)⁻¹ Vᵀ Ψ^-½ noise: the mean of the factors given the observed noise."""
        projected = (ratio.mT @ unit.unsqueeze(-1)).squeeze(-1)
        white = _solved(factor, projected)
        return _solved(factor, white, transposed=True)


def _solved(factor: Tensor, vectors: Tensor, transposed: bool = False) -> Tensor:
    """L⁻¹ v for vectors (..., D), or L⁻ᵀ v, whose leading dimensions may be more than those of L.

    Leading dimensions that L lacks become columns, so that L isn't repeated for them.

    Example:
        >>> factors = torch.eye(2).expand(5, 2, 2)
        >>> _solved(factors, torch.ones(1000, 5, 2)).shape
        torch.Size([1000, 5, 2])
    """
    batch = factor.shape[:-2]
    shape = torch.broadcast_shapes(vectors.shape[:-1], batch)
    extra = len(shape) - len(batch)
    many = vectors.expand(*shape, vectors.shape[-1])
    columns = many.reshape(-1, *many.shape[extra:]).movedim(0, -1)
    if transposed:
        solved = torch.linalg.solve_triangular(factor.mT, columns, upper=True)
    else:
        solved = torch.linalg.solve_triangular(factor, columns, upper=False)
    return solved.movedim(-1, 0).reshape(many.shape)


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
