"""One multivariate normal fitted to rows with missing cells, by expectation maximisation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

LOG_2_PI = math.log(2 * math.pi)
NUMBERS_AT_ONCE = 4_000_000
"""Of the inverse matrices of several patterns of missing cells: 32 MB."""


@dataclass(frozen=True)
class FittedNormal:
    """A multivariate normal N(mean, covariance) for rows of D columns, some of them missing.

    Attributes:
        mean: (D,).
        covariance: (D, D).
        history: the log likelihood of the observed cells, with the penalty of the ridge, at each
            iteration; nats, summed over rows. It never falls.

    Example:
        >>> normal = FittedNormal(np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]]))
        >>> completed, variance = normal.conditional(np.array([[2.0, np.nan]]))
        >>> completed.round(6), variance.round(6)  # N(0.6 · 2, 1 - 0.6²)
        (array([[2. , 1.2]]), array([[0.  , 0.64]]))
    """

    mean: np.ndarray
    covariance: np.ndarray
    history: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log N(x_o; μ_o, Σ_oo) of the observed cells of each row, (n,); 0 where none is observed.

        Arguments:
            x: rows, (n, D), with NaN for missing cells.
        """
        total = np.empty(len(x))
        for some in _patterns(x, self):
            standard = np.einsum(
                "ni,nij,nj->n", some.deviation, some.precision, some.deviation
            )
            count = some.observed.sum(1)
            total[some.rows] = -0.5 * (standard + some.log_det + count * LOG_2_PI)
        return total

    def conditional(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The conditional mean and variance of each missing cell, given the observed ones.

        Arguments:
            x: rows, (n, D), with NaN for missing cells.

        Returns:
            The rows with missing cells replaced by E[x_m | x_o] = μ_m + Σ_mo Σ_oo⁻¹ (x_o - μ_o),
            and the variances, the diagonal of Σ_mm - Σ_mo Σ_oo⁻¹ Σ_om, 0 for observed cells.
        """
        completed = np.array(x, float)
        variance = np.zeros_like(completed)
        for some in _patterns(x, self):
            gain = some.precision @ self.covariance
            predicted = self.mean + np.einsum("ni,nij->nj", some.deviation, gain)
            explained = np.einsum("ij,nji->ni", self.covariance, gain)
            left = np.maximum(np.diag(self.covariance) - explained, 0.0)
            completed[some.rows] = np.where(some.observed, x[some.rows], predicted)
            variance[some.rows] = np.where(some.observed, 0.0, left)
        return completed, variance

    def draw(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The rows with missing cells drawn from p(x_m | x_o), one draw for each row.

        A draw of the whole row is moved by the regression on its error in the observed cells.

        References:
            Constrained realizations of Gaussian fields (Hoffman, Ribak, 1991).
        """
        whole = rng.multivariate_normal(
            self.mean, self.covariance, len(x), method="cholesky"
        )
        error = np.where(np.isnan(x), np.nan, x - whole + self.mean)
        drawn = whole + self.conditional(error)[0] - self.mean
        return np.where(np.isnan(x), drawn, x)


def fit_normal(
    x: np.ndarray,
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-6,
    max_iterations: int = 2000,
) -> FittedNormal:
    """The maximum likelihood N(μ, Σ) for rows with cells that are missing at random.

    Each iteration replaces x_m by its conditional mean and takes the moments of the completed
    rows, with the conditional covariance added:

        μ ← 1/n Σᵢ x̂ᵢ,    Σ ← 1/n Σᵢ [(x̂ᵢ - μ)(x̂ᵢ - μ)ᵀ + Cov(x_m | x_o)]

    References:
        Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird, Rubin, 1977).
        Statistical Analysis with Missing Data (Little, Rubin, 2019), section 11.2.

    Arguments:
        x: rows, (n, D), with NaN for missing cells.
        ridge: a number of rows with independent columns that is added to the covariance: the
            posterior mode under an inverse Wishart prior. It is needed where there are fewer rows
            than columns.
        tolerance: it stops when the log likelihood of a row rises by less, in nats.
        max_iterations: it stops after so many.

    Raises:
        ValueError: a column without an observed cell, infinities, and a covariance that becomes
            singular.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, np.nan], [1.0, 2.0]])
        >>> fit_normal(x, tolerance=1e-12).mean.round(3)  # the regression 2/3 + 2 x₁ at 1.75
        array([1.75 , 4.167])
    """
    x = _checked(x)
    location, unit = _moments(x)
    # units in which every column has variance 1, so that no result depends on the data's units
    standard = (x - location) / unit
    fitted = FittedNormal(np.zeros(x.shape[1]), np.eye(x.shape[1]))
    history: list[float] = []
    for _ in range(max_iterations):
        improved, score = _iteration(standard, fitted, ridge)
        history.append(score - float(_log_units(x, unit)))
        if len(history) > 1 and history[-1] - history[-2] < tolerance * len(x):
            break
        fitted = improved
    covariance = fitted.covariance * np.outer(unit, unit)
    return FittedNormal(location + unit * fitted.mean, covariance, np.array(history))


@dataclass(frozen=True)
class _Rows:
    """Rows that are computed at once.

    Attributes:
        rows: their indices.
        observed: (n, D).
        deviation: x - μ, 0 where missing.
        precision: Σ_oo⁻¹ of each row, padded with zeros, (n, D, D).
        log_det: log |Σ_oo|.
    """

    rows: np.ndarray
    observed: np.ndarray
    deviation: np.ndarray
    precision: np.ndarray
    log_det: np.ndarray


def _patterns(x: np.ndarray, normal: FittedNormal) -> Iterator[_Rows]:
    """The rows in parts that fit into memory; equal patterns share one inverse."""
    size = max(1, NUMBERS_AT_ONCE // max(1, x.shape[1] ** 2))
    for start in range(0, len(x), size):
        rows = np.arange(start, min(start + size, len(x)))
        observed = ~np.isnan(x[rows])
        patterns, index = np.unique(observed, axis=0, return_inverse=True)
        inverse, log_det = padded_inverse(normal.covariance, patterns)
        deviation = np.where(observed, x[rows] - normal.mean, 0.0)
        yield _Rows(rows, observed, deviation, inverse[index], log_det[index])


def padded_inverse(
    covariance: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Σ_oo⁻¹ with zeros for missing cells, (p, D, D), and log |Σ_oo|, (p,), for p patterns.

    Missing rows and columns of Σ are set to those of the identity, so that one batched Cholesky
    factorisation serves patterns of any size.

    Raises:
        ValueError: a covariance that isn't positive definite.

    Example:
        >>> padded_inverse(np.diag([2.0, 4.0]), np.array([[True, False]]))[0][0]
        array([[0.5, 0. ],
               [0. , 0. ]])
    """
    both = observed[:, :, None] & observed[:, None, :]
    identity = np.eye(len(covariance))
    padded = np.where(both, covariance, identity)
    try:
        factor = np.linalg.cholesky(padded)
    except np.linalg.LinAlgError:
        raise ValueError(
            "fit_normal: expected a covariance matrix of full rank, got a singular one (columns "
            "that determine each other, or too few rows); pass ridge=1.0, or drop columns"
        ) from None
    log_det = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    return np.where(both, np.linalg.inv(padded), 0.0), log_det


def _iteration(
    x: np.ndarray, normal: FittedNormal, ridge: float
) -> tuple[FittedNormal, float]:
    """One step of EM, and the penalised log likelihood before it."""
    n, columns = x.shape
    completed = np.empty_like(x)
    precisions = np.zeros((columns, columns))
    score = 0.0
    for some in _patterns(x, normal):
        weighted = np.einsum("ni,nij->nj", some.deviation, some.precision)
        predicted = normal.mean + weighted @ normal.covariance
        completed[some.rows] = np.where(some.observed, x[some.rows], predicted)
        precisions += some.precision.sum(0)
        standard = (weighted * some.deviation).sum()
        score -= 0.5 * (standard + some.log_det.sum() + some.observed.sum() * LOG_2_PI)
    mean = completed.mean(0)
    deviation = completed - mean
    # the sum over rows of Σ - Σ_:o Σ_oo⁻¹ Σ_o:, which is zero for observed cells
    missing = n * normal.covariance - normal.covariance @ precisions @ normal.covariance
    total = deviation.T @ deviation + missing + ridge * np.eye(columns)
    covariance = (total + total.T) / (2 * (n + ridge))
    return FittedNormal(mean, covariance), score - _penalty(normal.covariance, ridge)


def _penalty(covariance: np.ndarray, ridge: float) -> float:
    """-log of the inverse Wishart prior, up to a constant: ridge / 2 (log |Σ| + tr Σ⁻¹)."""
    if ridge == 0:
        return 0.0
    log_det = np.linalg.slogdet(covariance)[1]
    trace = np.trace(np.linalg.inv(covariance))
    return 0.5 * ridge * float(log_det + trace)


def _checked(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, float)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"fit_normal: expected at least 2 rows, (n, D), got {x.shape}")
    if np.isinf(x).any():
        raise ValueError(
            f"fit_normal: expected finite numbers or NaN, got {int(np.isinf(x).sum())} infinite "
            "cells; replace them by NaN"
        )
    empty = np.flatnonzero(np.isnan(x).all(0))
    if len(empty):
        raise ValueError(
            f"fit_normal: expected an observed cell in each column, got none in columns "
            f"{empty.tolist()}; drop them"
        )
    return x


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the observed cells of each column; 1 for a constant one."""
    std = np.nanstd(x, 0)
    return np.nanmean(x, 0), np.where(std > 0, std, 1.0)


def _log_units(x: np.ndarray, unit: np.ndarray) -> float:
    """The log of the product of the units of all observed cells."""
    counts = (~np.isnan(x)).sum(0)
    return float(counts @ np.log(unit))
