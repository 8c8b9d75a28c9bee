"""Correlations of a row's noise: their densities, conditionals and draws, of unit variance."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_vae.special import HALF_LOG_2_PI


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
