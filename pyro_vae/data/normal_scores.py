"""Columns made normal, one by one, and back: the margins of a Gaussian copula."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

NODES = 21
"""Of the quadrature: the mean of a column whose normal score is known up to a normal error."""


@dataclass(frozen=True)
class NormalScores:
    """A monotone map of each column onto standard normal numbers: Φ⁻¹ of its observed ranks.

    It is piecewise linear between the distinct observed values; equal values share their mean rank.
    Beyond the smallest and the largest value it is constant, so that no imputed cell lies outside
    the range of the observed ones.

    References:
        Semiparametric Estimation in Copula Models for Bivariate Survival Data (Oakes, 1994).
        Extending the Rank Likelihood for Semiparametric Copula Estimation (Hoff, 2007).

    Attributes:
        values: for each column the distinct observed values, ascending.
        scores: their normal scores.

    Example:
        >>> x = np.array([[1.0], [10.0], [100.0], [np.nan]])
        >>> scores = normal_scores(x)
        >>> scores(x).ravel().round(3)
        array([-0.967,  0.   ,  0.967,    nan])
        >>> scores.inverse(np.array([[0.0], [9.0]])).ravel()
        array([ 10., 100.])
    """

    values: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The normal scores of rows, (n, D); nan stays nan."""
        columns = zip(x.T, self.values, self.scores, strict=True)
        mapped = [
            np.interp(column, values, scores) for column, values, scores in columns
        ]
        return np.where(np.isnan(x), np.nan, np.stack(mapped, 1))

    def inverse(self, scores: np.ndarray) -> np.ndarray:
        """The values with these normal scores, (n, D)."""
        columns = zip(scores.T, self.scores, self.values, strict=True)
        return np.stack(
            [np.interp(column, s, values) for column, s, values in columns], 1
        )

    def mean(self, scores: np.ndarray, std: np.ndarray) -> np.ndarray:
        """E[inverse(scores + std ε)] with ε ~ N(0, 1), by Gauss-Hermite quadrature, (n, D).

        Example:
            >>> scores = normal_scores(np.array([[0.0], [0.0], [8.0]]))
            >>> one = np.ones((1, 1))
            >>> scores.mean(0 * one, 0 * one).round(6) == scores.inverse(0 * one).round(6)
            array([[ True]])
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        shares = weights / weights.sum()
        total = np.zeros_like(scores)
        for node, share in zip(nodes, shares, strict=True):
            total += share * self.inverse(scores + node * std)
        return total


def normal_scores(x: np.ndarray) -> NormalScores:
    """The map of the observed cells of each column onto Φ⁻¹((mean rank - ½) / n).

    Raises:
        ValueError: a column without an observed cell.
    """
    empty = np.flatnonzero(np.isnan(x).all(0))
    if len(empty):
        raise ValueError(
            f"normal_scores: expected an observed cell in each column, got none in columns "
            f"{empty.tolist()}; drop them"
        )
    values = []
    scores = []
    for column in x.T:
        observed = column[~np.isnan(column)]
        distinct, counts = np.unique(observed, return_counts=True)
        middle = np.cumsum(counts) - counts / 2
        values.append(distinct)
        scores.append(norm.ppf(middle / len(observed)))
    return NormalScores(tuple(values), tuple(scores))
