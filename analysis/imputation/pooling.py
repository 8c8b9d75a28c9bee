"""Rubin's rules: one estimate with its standard error from the analyses of several imputations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.analysis.results.levels import require_share
from pyro_vae.arguments import public

READING = (
    "standard errors include what is unknown about the missing cells; fmi is the fraction of "
    "information that is missing, and 1 / fmi is how many times more rows would replace it"
)


@dataclass(frozen=True, repr=False)
class Pooled(Answer):
    """Estimates of p parameters, combined over m completed tables.

    Attributes:
        estimate: Q̄, the mean of the estimates, (p,).
        within: Ū, the mean of their variances, (p,).
        between: B, the variance of the estimates, with m - 1 in the denominator, (p,).
        df: degrees of freedom of the t distribution of (Q̄ - Q) / √T, (p,).
        num_imputations: m.
        names: of the parameters.

    Example:
        >>> pooled = pool([1.0, 3.0], [1.0, 1.0])
        >>> pooled.variance, pooled.df  # 1 + (1 + 1/2) 2, and (2 - 1) (1 + 1/3)²
        (array([4.]), array([1.777...]))
    """

    estimate: np.ndarray
    within: np.ndarray
    between: np.ndarray
    df: np.ndarray
    num_imputations: int
    names: tuple[Any, ...] = field(default=())

    @property
    def added(self) -> np.ndarray:
        """(1 + 1/m) B: the variance that is due to missing cells and to finitely many tables."""
        return (1 + 1 / self.num_imputations) * self.between

    @property
    def variance(self) -> np.ndarray:
        """T = Ū + (1 + 1/m) B."""
        return self.within + self.added

    @property
    def se(self) -> np.ndarray:
        """√T."""
        return np.sqrt(self.variance)

    @property
    def variance_share(self) -> np.ndarray:
        """λ = (1 + 1/m) B / T: the share of the variance that is due to missing cells."""
        return _ratio(self.added, self.variance)

    @property
    def fmi(self) -> np.ndarray:
        """The fraction of missing information, (r + 2 / (df + 3)) / (r + 1), r = (1 + 1/m) B / Ū.

        It is λ with a correction for finite m.
        """
        correction = 2 / (self.df + 3)
        share = self.variance_share
        fraction: np.ndarray = np.where(
            share > 0, share + (1 - share) * correction, 0.0
        )
        return fraction

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """The lower and the upper ends of the confidence intervals, Q̄ ± t √T.

        Raises:
            ValueError: a level that is not between 0 and 1.

        Example:
            >>> lower, upper = pool([1.0, 3.0], [1.0, 1.0]).interval(0.9)
            >>> lower.round(2), upper.round(2)
            (array([-4.37]), array([8.37]))
        """
        require_share(level, usual=0.95)
        half = stats.t.ppf((1 + level) / 2, self.df) * self.se
        return self.estimate - half, self.estimate + half

    @property
    def p_value(self) -> np.ndarray:
        """Of the two-sided test that the parameter is 0."""
        standard = _ratio(np.abs(self.estimate), self.se)
        chance: np.ndarray = 2 * stats.t.sf(standard, self.df)
        return chance

    @property
    def reading(self) -> str:
        return READING

    def totals(self) -> Sequence[Total]:
        lines = []
        numbers = zip(
            self.labels(), self.estimate, self.se, self.fmi, self.df, strict=True
        )
        for name, estimate, se, fmi, df in numbers:
            note = f"fmi {fmi:.2f}, df {df:.4g}"
            lines.append(Total(str(name), float(estimate), float(se), note=note))
        return lines

    def columns(self) -> Mapping[str, np.ndarray]:
        lower, upper = self.interval()
        return {
            "estimate": self.estimate,
            "se": self.se,
            "lower": lower,
            "upper": upper,
            "df": self.df,
            "fmi": self.fmi,
        }

    def labels(self) -> Sequence[Any]:
        return self.names or tuple(range(len(self.estimate)))


@public
def pool(estimates: Any, variances: Any, *, df: float | None = None) -> Pooled:
    """Combine the results of one analysis that was made on each of m completed tables.

    With the mean Q̄ of the estimates, the mean Ū of their variances and the variance B of the
    estimates:

        T = Ū + (1 + 1/m) B,    λ = (1 + 1/m) B / T,    df_m = (m - 1) / λ²

    With `df` the degrees of freedom are 1 / (1 / df_m + 1 / df_obs), where
    df_obs = (1 - λ) df (df + 1) / (df + 3): they never exceed those of the complete table.

    References:
        Multiple Imputation for Nonresponse in Surveys (Rubin, 1987), section 3.1.
        Small-Sample Degrees of Freedom with Multiple Imputation (Barnard, Rubin, 1999).

    Arguments:
        estimates: of each completed table, (m,) or (m, p); the names of p parameters are taken from
            a DataFrame, or from a list of Series, as `fit.params` of statsmodels.
        variances: the squared standard errors, of the same shape.
        df: residual degrees of freedom of the analysis of a complete table, n - k; None: infinite.

    Returns:
        Estimates, standard errors, degrees of freedom and the fraction of missing information.

    Raises:
        ValueError: fewer than two imputations, other shapes, nan, negative variances.

    Example:
        >>> print(pool([[1.0], [3.0]], [[1.0], [1.0]]))
        0  2.000 ± 2.000   (fmi 0.85, df 1.778)
        standard errors include ...
    """
    names = _names(estimates)
    values, squares = _checked(estimates, variances, df)
    m = len(values)
    within = squares.mean(0)
    between = values.var(0, ddof=1)
    added = (1 + 1 / m) * between
    share = _ratio(added, within + added)
    # without variance between the tables nothing is missing: df is infinite, or that of the table
    with np.errstate(divide="ignore"):
        inverse = np.square(share) / (m - 1)
        if df is not None:
            observed = (1 - share) * df * (df + 1) / (df + 3)
            inverse = inverse + 1 / observed
        freedom = 1 / inverse
    return Pooled(values.mean(0), within, between, freedom, m, names)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where both are 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _names(estimates: Any) -> tuple[Any, ...]:
    """Names of the parameters in a DataFrame's columns or in the index of a list of Series."""
    if hasattr(estimates, "columns"):
        return tuple(estimates.columns)
    if isinstance(estimates, list | tuple) and estimates:
        index = getattr(estimates[0], "index", None)
        if index is not None and not callable(index):
            return tuple(index)
    return ()


def _checked(
    estimates: Any, variances: Any, df: float | None
) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(estimates, float)
    squares = np.asarray(variances, float)
    if values.ndim not in (1, 2) or len(values) < 2:
        raise ValueError(
            "pool: expected the estimates of at least 2 completed tables, (m,) or (m, p), got "
            f"{values.shape}; impute more, such as num_imputations=20"
        )
    if squares.shape != values.shape:
        raise ValueError(
            f"pool: expected a variance for each estimate, {values.shape}, got {squares.shape}; of "
            "a covariance matrix pass the diagonal"
        )
    if not (np.isfinite(values).all() and np.isfinite(squares).all()):
        raise ValueError(
            "pool: expected finite numbers, got nan or inf; leave that table out"
        )
    if (squares < 0).any():
        raise ValueError(
            f"pool: expected squared standard errors, got {squares.min():g}, which is negative"
        )
    if df is not None and df <= 0:
        raise ValueError(
            f"pool: expected positive degrees of freedom or None, got df={df}"
        )
    if values.ndim == 1:
        return values[:, None], squares[:, None]
    return values, squares
